import { existsSync } from 'node:fs'
import type { IndexProblem } from './adapters/sqlite/inspect.ts'
import type { Projection } from '../projections/projection.ts'
import { projections } from '../projections/index.ts'
import { readTokenEvents, type TokenEvent } from './application/load.ts'
import { type Clock, type EventStore, type ReadModel, StoreUnavailableError } from './application/ports.ts'
import { createQueries, type Queries } from './application/query.ts'
import { DamagedError } from './domain/errors.ts'
import type { Settings } from './settings.ts'
import { openEventStore, openReadModel, shownUrl, sqlitePath } from './stores.ts'

export { auditDecisions, REVOCATION_BOUND_MS } from './application/decisions.ts'
export { judgeUses, usesAround } from './application/explain.ts'
export { asOf, historyOf, missingText, type Moment, parseMoment } from './application/asOf.ts'
export {
  BadCheckpointError,
  digestOf,
  judgeDifferences,
  readCheckpoint,
  signCheckpoint,
} from './application/checkpoint.ts'
export { createLogDigester } from './application/logDigest.ts'
export { StoreUnavailableError } from './application/ports.ts'
export { exportEvents } from './application/exportEvents.ts'
export { BadRowsError, checkRows } from './application/checkRows.ts'
export { compareRows, importRows } from './application/importTokens.ts'
export { importEvents } from './application/importEvents.ts'
export { checkFile } from './application/transferCheck.ts'
export { walkLog } from './application/walk.ts'
export { type RouteFilter, routeFilter } from './application/routeFilter.ts'
export { sinceTime, usageRange } from './application/usageRange.ts'
export { checkingKey, signingKey } from './auditKey.ts'
export { PLAIN_KEY_ID } from './domain/credential.ts'
export { DamagedError, Refusal } from './domain/errors.ts'
export { STREAMS } from './domain/events.ts'
export { shownUrl, sqlitePath } from './stores.ts'

/**
 * Composition root of the command line, beside a live service or without one. It only reads, takes no lock, writes
 * nothing, but for `withWritableEventStore`; and closes what it opened.
 */

/** There is nothing to read: nothing was written yet, or the setting names another place. */
export class NoDataError extends Error {
  override name = 'NoDataError'
}

export interface EventReads {
  store: EventStore
  /** @throws DamagedError naming the event where the stream stops being what was written */
  tokenEvents(tokenId: string): Promise<TokenEvent[]>
  /** What the store's own tables say and its events do not. Nothing for a server, which looks after its own. */
  indexProblems(): Promise<IndexProblem[]>
}

/** @throws NoDataError, StoreUnavailableError, DamagedError */
export async function withEventStore<T>(
  settings: Settings,
  work: (reads: EventReads) => Promise<T>,
): Promise<T> {
  assertFile('event store', settings.eventStoreUrl, 'EVENT_STORE_URL')
  const store = await openEventStore(settings, { readOnly: true })
  try {
    return await work({
      store,
      async tokenEvents(tokenId) {
        return (await readTokenEvents(store, tokenId)).events
      },
      async indexProblems() {
        const path = sqlitePath(settings.eventStoreUrl)
        if (path === null) return []
        const { checkIndexes } = await import('./adapters/sqlite/inspect.ts')
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
): Promise<T> {
  assertFile('read model', settings.readModelUrl, 'READ_MODEL_URL')
  const readModel = await openReadModel(settings, { readOnly: true })
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
function assertFile(what: string, url: string, setting: string): void {
  const path = sqlitePath(url)
  if (path === null || existsSync(path)) return
  throw new NoDataError(
    `There is no ${what} yet at ${path}: start the service once (npm start), or set ${setting}.`,
  )
}
