import { existsSync } from 'node:fs'
import type { IndexProblem } from '../../src/adapters/sqlite/log/indexes.ts'
import { isFolder } from '../../src/adapters/sqlite/database/writable.ts'
import type { Projection } from '../../projections/projection.ts'
import { projections } from '../../projections/index.ts'
import { readSoundEvents, type SoundEvents } from '../../src/application/eventLog/soundEvents.ts'
import {
  BULK_PATIENCE,
  type Patience,
  patiently,
  patientReads,
  READ_PATIENCE,
} from '../../src/application/eventLog/patience.ts'
import type { Clock } from '../../src/application/ports/clock.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { Logger } from '../../src/application/ports/telemetry.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../src/application/ports/errors.ts'
import { IMPORT_CALL_MS } from '../../src/application/tokenImport/importLease.ts'
import { createQueries, type Queries } from '../../src/application/analytics/queries.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { CouldNotLook } from './command.ts'
import { openEventStore, openReadModel, readModelFile, shownUrl, sqlitePath } from '../../src/stores/open.ts'

/**
 * Opens stores for the command line; a service may be running meanwhile. Except for `withWritableEventStore` and
 * `rebuildReadModel`, it only reads and takes no lock. Everything that was opened is closed again.
 */

/** There is nothing to read. Either nothing was written yet, or the setting names another place. */
export class NoDataError extends CouldNotLook {
  override name = 'NoDataError'
}

/** A server may be slow to take the first connection. */
const OPEN_PATIENCE: Patience = { ms: 2_000, outages: true }

/** Pauses that are closer than this belong to one outage, in milliseconds: more than the longest pause and a call. */
const NOTE_MS = 15_000

export interface EventReads {
  store: EventStore
  tokenEvents(tokenId: string): Promise<SoundEvents>
  /** Where a store's own tables disagree with its events. None for a server, which checks its own tables. */
  indexProblems(): Promise<IndexProblem[]>
}

/** @throws NoDataError, StoreUnavailableError, DamagedError */
export async function withEventStore<T>(
  settings: Settings,
  work: (reads: EventReads) => Promise<T>,
): Promise<T> {
  assertFile('event store', sqlitePath(settings.eventStoreUrl), 'EVENT_STORE_URL')
  const opened = await openEventStore(settings, { readOnly: true, callMs: IMPORT_CALL_MS })
  try {
    // Who follows the log waits for a server as long as it takes. A command does not begin where none answers.
    await opened.head()
    const store = sqlitePath(settings.eventStoreUrl) === null ? patientReads(opened, READ_PATIENCE) : opened
    return await work({
      store,
      tokenEvents: (tokenId) => readSoundEvents(store, tokenId),
      async indexProblems() {
        const path = sqlitePath(settings.eventStoreUrl)
        if (path === null) return []
        const { checkIndexes } = await import('../../src/adapters/sqlite/log/indexes.ts')
        return checkIndexes(path)
      },
    })
  } finally {
    await opened.close()
  }
}

/** A store that is written in bulk, and how long an outage of it is waited for. */
export interface BulkWrites {
  store: EventStore
  patience: Patience
}

/**
 * Opens the event store for an import, and makes it if there is none. Of a server an outage is waited for; a file that
 * cannot be written has nobody who would start it again.
 * @param note says what is waited for, once for each outage
 * @throws StoreInUseError if a service is running on it; StoreUnavailableError, DamagedError
 */
export async function withWritableEventStore<T>(
  settings: Settings,
  note: (text: string) => void,
  work: (writes: BulkWrites) => Promise<T>,
): Promise<T> {
  const outages = sqlitePath(settings.eventStoreUrl) === null
  let notedAt = Number.NEGATIVE_INFINITY
  const onPause = ({ message }: Error): void => {
    if (performance.now() - notedAt > NOTE_MS)
      note(`Waiting for the event store, nothing is lost: ${message}`)
    notedAt = performance.now()
  }
  const patience = { ...BULK_PATIENCE, outages, onPause }
  const store = await openEventStore(settings, { callMs: IMPORT_CALL_MS })
  try {
    return await work({ store, patience })
  } finally {
    await store.close()
  }
}

export interface ModelReads {
  readModel: ReadModel
  projections: readonly Projection[]
  queries: Queries
}

/** @throws NoDataError also if this version has not filled the read model yet; others as `withEventStore` */
export async function withReadModel<T>(
  settings: Settings,
  clock: Clock,
  work: (reads: ModelReads) => Promise<T>,
  log?: Logger,
): Promise<T> {
  assertFile('read model', readModelFile(settings.readModelUrl), 'READ_MODEL_URL')
  const readModel = await openForReading(settings, log)
  try {
    await readModel.open(projections)
    await assertFilled(readModel, settings.readModelUrl)
    return await work({ readModel, projections, queries: createQueries(readModel, clock) })
  } finally {
    await readModel.close()
  }
}

/** Once a server has answered, reads outlast an outage of it. A command does not begin where none answers. */
async function openForReading(settings: Settings, log?: Logger): Promise<ReadModel> {
  const open = (): Promise<ReadModel> => openReadModel(settings, { readOnly: true, ...(log && { log }) })
  if (readModelFile(settings.readModelUrl) !== null) return open()
  const readModel = await patiently(OPEN_PATIENCE)(open)()
  const patient = patiently(READ_PATIENCE)
  return {
    ...readModel,
    open: patient(readModel.open),
    checkpoint: patient(readModel.checkpoint),
    get: patient(readModel.get),
    find: patient(readModel.find),
    count: patient(readModel.count),
    isPublished: patient(readModel.isPublished),
  }
}

/**
 * Refuses if the tables of this version are missing. A reader cannot make them; the service does, when it is started.
 */
async function assertFilled(readModel: ReadModel, url: string): Promise<void> {
  const notFilled = (cause?: unknown): NoDataError =>
    new NoDataError(
      `The read model ${shownUrl(url)} was not filled by this version yet: start the service once.`,
      { cause },
    )
  try {
    for (const { collections } of projections) {
      for (const { name } of collections) await readModel.count(name, [], 1)
    }
    for (const projection of projections) await readModel.checkpoint(projection)
  } catch (error) {
    if (error instanceof StoreUnavailableError || error instanceof DamagedError) throw error
    throw notFilled(error)
  }
  if (!(await readModel.isPublished(projections))) throw notFilled()
}

/** Refuses if the file is missing, or is none. For a server, connecting will show whether it is there. */
function assertFile(what: string, path: string | null, setting: string): void {
  if (path !== null && isFolder(path))
    throw new CouldNotLook(`${setting} must name a file: ${path} is a folder.`)
  if (path === null || existsSync(path)) return
  throw new NoDataError(`There is no ${what} yet at ${path}: start the service once, or set ${setting}.`)
}
