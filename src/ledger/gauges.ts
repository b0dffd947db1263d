import type { Metrics } from '../adapters/telemetry/metrics.ts'
import type { TokenIndex } from '../application/authentication/tokenIndex.ts'
import type { Instruments } from '../application/scheduling/gates.ts'
import type { knowingItsAppends, knowingItsChanges } from '../application/health/lastWrite.ts'

/** What the stores know of themselves, for who watches over them. */
export function gaugeStores(
  { gauge }: Pick<Metrics, 'gauge'>,
  store: ReturnType<typeof knowingItsAppends>,
  readModel: ReturnType<typeof knowingItsChanges>,
): void {
  const stores = { event_store: store, read_model: readModel }
  for (const [name, { isWritable, unmovedBytes }] of Object.entries(stores)) {
    gauge(`${name}_writable`, 'Whether the last write succeeded.', () => Number(isWritable()))
    if (!unmovedBytes) continue
    const help = 'Bytes written that wait beside the file, ever more while another program reads it for long.'
    gauge(`${name}_wal_bytes`, help, unmovedBytes)
  }
}

export function measureIndex(index: TokenIndex, { gauge, counter }: Instruments): void {
  gauge('token_index_entries', 'Tokens kept ready for authentication.', index.size)
  gauge('token_index_bytes', 'Memory that they take, nearly.', index.bytes)
  gauge('token_index_live', 'Whether those tokens are trusted; else the read model is asked.', () =>
    Number(index.isLive()),
  )
  gauge('tokens_remembered', 'Tokens known to be good, by whether they were used here.', index.remembered)
  counter('look_ups_total', 'Tokens looked up, by whether they were known to be good.', index.lookUps)
}
