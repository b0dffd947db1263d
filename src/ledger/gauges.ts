import type { Metrics } from '../adapters/telemetry/metrics.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import type { Projector } from '../application/projection/projector.ts'
import type { Retention } from '../application/retention/retention.ts'
import type { Recorder } from '../application/usage/recorder.ts'
import type { ConnectionLoad } from '../http/server/connections.ts'
import type { TokenIndex } from '../application/authentication/tokenIndex.ts'
import type { knowingItsAppends, knowingItsChanges } from '../application/health/lastWrite.ts'

interface Parts {
  log: Logger
  store: ReturnType<typeof knowingItsAppends>
  readModel: ReturnType<typeof knowingItsChanges>
  index: TokenIndex
  projector: Projector
  recorder: Recorder
  retention: Retention
}

const LOADS = ['connections', 'waiting', 'unsentBytes', 'cutOff'] satisfies (keyof ConnectionLoad)[]

/** Shows in the metrics what the parts know about themselves. */
export function gaugeParts(
  metrics: Metrics,
  { log, index, projector, recorder, retention, ...stores }: Parts,
): void {
  const { gauge, counter } = metrics
  gauge('usage_days_overdue', 'Days that may be lost: see the log.', retention.overdue)
  gauge('projector_lag_seconds', 'How long the read model has been behind the event store.', projector.lag)
  gauge('usage_buffer_entries', 'Token windows that wait to be stored.', recorder.pending)
  gaugeStores(metrics, stores)
  gaugeIndex(metrics, index)
  gauge('usage_buffer_bytes', 'Memory that they take, nearly.', recorder.bytes)
  const { linesLost, bytesWaiting } = log
  if (linesLost) counter('log_lines_lost_total', 'Log lines that could not be written.', linesLost)
  if (bytesWaiting) gauge('log_waiting_bytes', 'Log lines that wait to be written.', bytesWaiting)
  gauge('projector_leads', 'Whether this process fills the read model.', () => Number(projector.leads()))
}

/** @throws TypeError for a load that does not say all of it: every scrape would fail */
export function gaugeConnections({ gauge }: Metrics, load: ConnectionLoad): void {
  const isLoad = LOADS.every((name) => typeof (load as Partial<ConnectionLoad> | null)?.[name] === 'function')
  if (!isLoad) throw new TypeError(`observeServer(load): load must have the functions ${LOADS.join(', ')}`)
  gauge('connections', 'Connections to the server.', load.connections)
  gauge('requests_waiting', 'Requests sent ahead of earlier answers.', load.waiting)
  gauge('answer_bytes_unsent', 'Bytes of answers that callers have not taken.', load.unsentBytes)
  gauge('connections_cut_off', 'Connections closed at a limit so far.', load.cutOff)
}

function gaugeStores({ gauge }: Metrics, { store, readModel }: Pick<Parts, 'store' | 'readModel'>): void {
  const stores = { event_store: store, read_model: readModel }
  for (const [name, { isWritable, unmovedBytes }] of Object.entries(stores)) {
    gauge(`${name}_writable`, 'Whether the last write succeeded.', () => Number(isWritable()))
    if (!unmovedBytes) continue
    const help = 'Bytes written that wait beside the file, ever more while another program reads it for long.'
    gauge(`${name}_wal_bytes`, help, unmovedBytes)
  }
}

function gaugeIndex({ gauge, counter }: Metrics, index: TokenIndex): void {
  gauge('token_index_entries', 'Tokens kept ready for authentication.', index.size)
  gauge('token_index_bytes', 'Memory that they take, nearly.', index.bytes)
  gauge('token_index_live', 'Whether those tokens are trusted; else the read model is asked.', () =>
    Number(index.isLive()),
  )
  gauge('tokens_remembered', 'Tokens known to be good, by whether they were used here.', index.remembered)
  counter('look_ups_total', 'Tokens looked up, by whether they were known to be good.', index.lookUps)
}
