import { existsSync } from 'node:fs'
import type { Projection } from '../projections/projection.ts'
import { projections } from '../projections/index.ts'
import { openSqliteEventStore } from './adapters/sqlite/event-store.ts'
import { openSqliteReadModel } from './adapters/sqlite/read-model.ts'
import { readTokenEvents, type TokenEvent } from './application/load.ts'
import { type Clock, type EventStore, type ReadModel, StoreUnavailableError } from './application/ports.ts'
import { createQueries, type Queries } from './application/query.ts'
import { DamagedError } from './domain/errors.ts'
import type { Settings } from './settings.ts'

export { asOf, historyOf, type Moment, parseMoment } from './application/asOf.ts'
export { StoreUnavailableError } from './application/ports.ts'
export { exportEvents } from './application/exportEvents.ts'
export { importEvents } from './application/importEvents.ts'
export { checkFile } from './application/transferCheck.ts'
export { usageRange } from './application/usageRange.ts'
export { DamagedError, Refusal } from './domain/errors.ts'

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
}

/** @throws NoDataError, StoreUnavailableError, DamagedError */
export async function withEventStore<T>(
  settings: Settings,
  work: (reads: EventReads) => Promise<T>,
): Promise<T> {
  const path = pathOf(settings.eventStoreUrl)
  if (!existsSync(path)) throw noFile('event store', path, 'EVENT_STORE_URL')
  const store = await openSqliteEventStore(path, { readOnly: true })
  try {
    return await work({
      store,
      async tokenEvents(tokenId) {
        return (await readTokenEvents(store, tokenId)).events
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
  const store = await openSqliteEventStore(pathOf(settings.eventStoreUrl))
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
  const path = pathOf(settings.readModelUrl)
  if (!existsSync(path)) throw noFile('read model', path, 'READ_MODEL_URL')
  const readModel = await openSqliteReadModel(path, { readOnly: true })
  try {
    await readModel.open(projections)
    await assertFilled(readModel, path)
    return await work({ readModel, projections, queries: createQueries(readModel, clock) })
  } finally {
    await readModel.close()
  }
}

/** Whoever only reads makes no tables: those of this version are there once the service has run. */
async function assertFilled(readModel: ReadModel, path: string): Promise<void> {
  try {
    for (const { collections } of projections) {
      for (const { name } of collections) await readModel.count(name, [], 1)
    }
    for (const projection of projections) await readModel.checkpoint(projection)
  } catch (error) {
    if (error instanceof StoreUnavailableError || error instanceof DamagedError) throw error
    throw new NoDataError(
      `The read model ${path} was not filled by this version yet: start the service once (npm start).`,
      { cause: error },
    )
  }
}

const noFile = (what: string, path: string, setting: string): NoDataError =>
  new NoDataError(
    `There is no ${what} yet at ${path}: start the service once (npm start), or set ${setting}.`,
  )

/** The file that a store's URL names. */
export const pathOf = (url: string): string => url.slice('sqlite:'.length)
