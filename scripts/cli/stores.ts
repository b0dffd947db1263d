import { existsSync } from 'node:fs'
import type { IndexProblem } from '../../src/adapters/sqlite/database/inspect.ts'
import type { Projection } from '../../projections/projection.ts'
import { projections } from '../../projections/index.ts'
import { readSoundEvents, type SoundEvents } from '../../src/application/eventLog/soundEvents.ts'
import type { Clock } from '../../src/application/ports/clock.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { Logger } from '../../src/application/ports/telemetry.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../src/application/ports/errors.ts'
import { createQueries, type Queries } from '../../src/application/analytics/queries.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { CouldNotLook } from './command.ts'
import { openEventStore, openReadModel, readModelFile, shownUrl, sqlitePath } from '../../src/stores/open.ts'

/**
 * Composition root of the command line, beside a live service or without one. It only reads, takes no lock, writes
 * nothing, but for `withWritableEventStore` and `rebuildReadModel`, and closes what it opened.
 */

/** There is nothing to read: nothing was written yet, or the setting names another place. */
export class NoDataError extends CouldNotLook {
  override name = 'NoDataError'
}

export interface EventReads {
  store: EventStore
  tokenEvents(tokenId: string): Promise<SoundEvents>
  /** What the store's own tables say and its events do not. Nothing for a server, which looks after its own. */
  indexProblems(): Promise<IndexProblem[]>
}

/** @throws NoDataError, StoreUnavailableError, DamagedError */
export async function withEventStore<T>(
  settings: Settings,
  work: (reads: EventReads) => Promise<T>,
): Promise<T> {
  assertFile('event store', sqlitePath(settings.eventStoreUrl), 'EVENT_STORE_URL')
  const store = await openEventStore(settings, { readOnly: true })
  try {
    return await work({
      store,
      tokenEvents: (tokenId) => readSoundEvents(store, tokenId),
      async indexProblems() {
        const path = sqlitePath(settings.eventStoreUrl)
        if (path === null) return []
        const { checkIndexes } = await import('../../src/adapters/sqlite/database/inspect.ts')
        return checkIndexes(path)
      },
    })
  } finally {
    await store.close()
  }
}

/**
 * For an import. Makes the store if there is none.
 * @throws StoreInUseError a service runs on it; StoreUnavailableError, DamagedError
 */
export async function withWritableEventStore<T>(
  settings: Settings,
  work: (store: EventStore) => Promise<T>,
): Promise<T> {
  const store = await openEventStore(settings)
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}

export interface ModelReads {
  readModel: ReadModel
  projections: readonly Projection[]
  queries: Queries
}

/** @throws NoDataError also where the read model was not filled by this version yet; others as `withEventStore` */
export async function withReadModel<T>(
  settings: Settings,
  clock: Clock,
  work: (reads: ModelReads) => Promise<T>,
  log?: Logger,
): Promise<T> {
  assertFile('read model', readModelFile(settings.readModelUrl), 'READ_MODEL_URL')
  const readModel = await openReadModel(settings, { readOnly: true, ...(log && { log }) })
  try {
    await readModel.open(projections)
    await assertFilled(readModel, settings.readModelUrl)
    return await work({ readModel, projections, queries: createQueries(readModel, clock) })
  } finally {
    await readModel.close()
  }
}

/** Whoever only reads makes no tables: those of this version are there once the service has run. */
async function assertFilled(readModel: ReadModel, url: string): Promise<void> {
  const notFilled = (cause?: unknown): NoDataError =>
    new NoDataError(
      `The read model ${shownUrl(url)} was not filled by this version yet: start the service once (npm start).`,
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

/** A server says for itself whether it is there. */
function assertFile(what: string, path: string | null, setting: string): void {
  if (path === null || existsSync(path)) return
  throw new NoDataError(
    `There is no ${what} yet at ${path}: start the service once (npm start), or set ${setting}.`,
  )
}
