import { once } from 'node:events'
import { SHARE_ENV, Worker } from 'node:worker_threads'
import { projections } from '../../projections/index.ts'
import { createLogReader } from '../application/eventLog/logReader.ts'
import { isOf } from '../application/logIdentity/sameLog.ts'
import type { EventStore } from '../application/ports/eventStore.ts'
import type { ReadModel } from '../application/ports/readModel.ts'
import type { Logger, Telemetry } from '../application/ports/telemetry.ts'
import { type RebuildProgress, startAdopting } from '../application/projection/rebuild.ts'
import { checkpointsOf } from '../application/readModel/checkpoints.ts'
import { isFile, isInMemory } from '../settings/parsers.ts'
import type { Settings } from '../settings/settings.ts'

/** A log with fewer events is followed from its start sooner than a rebuild is done. */
const LONG = 10_000
/** How often a start that fills says how far it has come, in milliseconds. */
const REPORT_MS = 10_000
/** In MiB. */
const MEMORY = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 512 }

/** What the thread is told. */
export interface Filling {
  settings: Pick<Settings, 'eventStoreUrl' | 'eventStoreTimeoutMs' | 'usageRetentionDays' | 'readModelUrl'>
  /** Names of projections. */
  names: string[]
}

/**
 * Fills the documents of a file that were never filled: as a rebuild does, which is several times as fast as following
 * a long log from its start, and on a thread of its own, so that a host does not stand still. Killed, it is gone on with
 * at the next start. Where it fails, the log is followed instead, which says what is wrong if it is more than that.
 * @throws StoreUnavailableError, DamagedError of the stores as they are
 */
export async function fillFirst(
  { eventStoreUrl, eventStoreTimeoutMs, usageRetentionDays, readModelUrl }: Settings,
  { store, readModel, telemetry }: { store: EventStore; readModel: ReadModel; telemetry: Telemetry },
): Promise<void> {
  if (!isFile(readModelUrl) || isInMemory(readModelUrl) || isInMemory(eventStoreUrl)) return
  await readModel.open(projections)
  const checkpoints = await checkpointsOf(readModel, projections)
  const names = projections.filter((one) => !checkpoints.get(one)).map(({ name }) => name)
  if (names.length === 0 || !(await isLong(store))) return
  // The thread hands the filled file over to whoever serves from it, as a command would.
  const adopting = startAdopting({ read: createLogReader(store), isOfLog: isOf(store), readModel, telemetry })
  const settings = { eventStoreUrl, eventStoreTimeoutMs, usageRetentionDays, readModelUrl }
  try {
    await fillApart({ settings, names }, telemetry.log)
  } catch (err) {
    telemetry.log.warn(
      { err },
      'the read model cannot be filled at once, so it follows the log from its start',
    )
  } finally {
    await adopting.stop()
  }
}

async function isLong(store: EventStore): Promise<boolean> {
  let count = 0
  for await (const events of store.readAll(null)) {
    count += events.length
    if (count >= LONG) return true
  }
  return false
}

async function fillApart(filling: Filling, log: Logger): Promise<void> {
  // SQLite reads the environment of the process to know where it may sort.
  const worker = new Worker(new URL('./firstFillThread.js', import.meta.url), {
    workerData: filling,
    env: SHARE_ENV,
    resourceLimits: MEMORY,
  })
  let saidAt = Number.NEGATIVE_INFINITY
  worker.on('message', ({ phase, events, position }: RebuildProgress) => {
    if (performance.now() - saidAt < REPORT_MS) return
    saidAt = performance.now()
    log.info({ phase, events, position }, 'fills the read model for the first time')
  })
  // Rejects with the error of the thread, if there is one.
  await once(worker, 'exit')
}
