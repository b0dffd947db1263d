import type { Metrics } from '../adapters/telemetry/metrics.ts'
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
