import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { IndexProblem } from '../../src/adapters/sqlite/database/inspect.ts'
import type { Projection } from '../../projections/projection.ts'
import { projections } from '../../projections/index.ts'
import { compare, type Comparison } from '../../src/application/verification/compare.ts'
import { readTokenEvents, type TokenEvent } from '../../src/application/eventLog/tokenStream.ts'
import { type Clock, iso } from '../../src/application/ports/clock.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { Logger } from '../../src/application/ports/telemetry.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../src/application/ports/errors.ts'
import { createQueries, type Queries } from '../../src/application/analytics/queries.ts'
import { createLogReader } from '../../src/application/eventLog/logReader.ts'
import { rebuild, type RebuildDeps, type RebuildProgress } from '../../src/application/projection/rebuild.ts'
import { assertSameLog, isOf } from '../../src/application/logIdentity/sameLog.ts'
import { slowest, standingOf } from '../../src/application/readModel/standing.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import { withReadAhead } from '../../src/stores/readAhead.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { withTemporaryFolder } from './temporaryFolder.ts'
import { openEventStore, openReadModel, readModelFile, shownUrl, sqlitePath } from '../../src/stores/open.ts'

export { auditDecisions, REVOCATION_BOUND_MS } from '../../src/application/audit/decisions.ts'
export { judgeUses, usesAround } from '../../src/application/audit/explain.ts'
export { asOf, historyOf, missingText, type Moment, parseMoment } from '../../src/application/tokens/asOf.ts'
export {
  BadCheckpointError,
  digestOf,
  judgeDifferences,
  readCheckpoint,
  signCheckpoint,
} from '../../src/application/audit/checkpoint.ts'
export { createLogDigester } from '../../src/application/audit/logDigest.ts'
export { StoreUnavailableError } from '../../src/application/ports/errors.ts'
export { exportEvents } from '../../src/application/transfer/exportEvents.ts'
export { BadRowsError, checkRows } from '../../src/application/tokenImport/checkRows.ts'
export { assertNoImport, withImportLease } from '../../src/application/tokenImport/importLease.ts'
export { compareRows, importRows } from '../../src/application/tokenImport/importTokens.ts'
export { importEvents } from '../../src/application/transfer/importEvents.ts'
export { checkFile } from '../../src/application/transfer/check.ts'
export { compareWithLog } from '../../src/application/logIdentity/sameLog.ts'
export { walkLog } from '../../src/application/audit/verifyLog.ts'
export { refusedIn } from '../../src/application/projection/refusals.ts'
export { type RouteFilter, routeFilter } from '../../src/application/analytics/routeFilter.ts'
export { sinceTime, usageRange } from '../../src/application/analytics/range.ts'
export { checkingKey, signingKey } from '../../src/settings/auditKey.ts'
export { PLAIN_KEY_ID } from '../../src/domain/credential.ts'
export { DamagedError, Refusal } from '../../src/domain/errors.ts'
export { STREAMS } from '../../src/domain/streams.ts'
export { readModelFile, shownUrl, sqlitePath } from '../../src/stores/open.ts'
export { withTemporaryFolder } from './temporaryFolder.ts'

/**
 * Composition root of the command line, beside a live service or without one. It only reads, takes no lock, writes
 * nothing, but for `withWritableEventStore` and `rebuildReadModel`; and closes what it opened.
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
  assertFile('event store', sqlitePath(settings.eventStoreUrl), 'EVENT_STORE_URL')
  const store = await openEventStore(settings, { readOnly: true })
  try {
    return await work({
      store,
      tokenEvents: (tokenId) => readTokenEvents(store, tokenId),
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

export interface Rebuilt {
  projections: string[]
  /** That were read in this run. */
  events: number
}

interface Rebuilding {
  log: Logger
  told: (progress: RebuildProgress, end: string) => void
  /** Called first where a service may be at work. */
  giveWay: () => void
  signal: AbortSignal
}

/**
 * Fills the next generation of some projections beside the live one and switches to it, beside a running service or
 * without one.
 * @param name of one projection; undefined: all
 * @throws UnknownProjectionError; RebuildUnderWayError; others as `withReadModel`
 */
export async function rebuildReadModel(
  settings: Settings,
  name: string | undefined,
  { log, told, ...how }: Rebuilding,
): Promise<Rebuilt> {
  const wanted = projections.filter((one) => name === undefined || one.name === name)
  if (wanted.length === 0) throw new UnknownProjectionError(projections.map((one) => one.name))
  return withEventStore(settings, ({ store }) => {
    const rebuildBeside = async ({ readModel }: ModelReads): Promise<Rebuilt> => {
      await assertSameLog(store, await standingOf(readModel, projections), readModel.remedy)
      const end = (await store.head()) ?? ''
      const telemetry = { log, damaged() {} }
      const tell = (progress: RebuildProgress): void => told(progress, end)
      return withReadAhead(settings, async (read) => {
        const deps = { read, readModel, telemetry, isOfLog: isOf(store) }
        const events = await rebuild(deps, wanted, { told: tell, ...how })
        return { projections: wanted.map((one) => one.name), events }
      })
    }
    return withReadModel(settings, Date.now, rebuildBeside, log)
  })
}

export interface CompareProgress {
  phase: 'folding' | 'comparing'
  /** Events folded or documents compared so far. */
  count: number
  position: string | null
  /** Where the fold ends. */
  end: string
}

/**
 * Compares the read model with a fold of the events, document by document, beside a running service or without one.
 * The fold is made in a temporary file, about as large as a read model on SQLite.
 * @throws as `withReadModel`
 */
export async function compareReadModel(
  settings: Settings,
  {
    log,
    told = () => {},
    clock = Date.now,
  }: { log: Logger; told?: (progress: CompareProgress) => void; clock?: Clock },
): Promise<Comparison> {
  const telemetry = { log, damaged() {} }
  return withEventStore(settings, ({ store }) =>
    withReadModel(settings, Date.now, ({ readModel }) =>
      inTemporaryFile(async (url) => {
        const end = slowest(await standingOf(readModel, projections))?.position ?? ''
        await withReadAhead(settings, (read) =>
          foldInto(url, { read, telemetry, isOfLog: isOf(store) }, end, ({ events, position }) =>
            told({ phase: 'folding', count: events, position, end }),
          ),
        )
        const scratch = await openReadModel(url)
        try {
          await scratch.open(projections)
          const keptFrom = usageKeptFrom(settings, clock())
          const read = createLogReader(store)
          return await compare({ read, telemetry, readModel, scratch, projections, keptFrom }, (count) =>
            told({ phase: 'comparing', count, position: null, end }),
          )
        } finally {
          await scratch.close()
        }
      }),
    ),
  )
}

const DAY_MS = 86_400_000

/** Retention may have taken usage from before this time; null where it is kept for ever. */
const usageKeptFrom = ({ usageRetentionDays: days }: Settings, now: number): string | null =>
  days === null ? null : iso(now - days * DAY_MS)

type ModelUrl = Pick<Settings, 'readModelUrl'>

/** The fold is a rebuild of an empty read model: the same code, in large steps. */
async function foldInto(
  url: ModelUrl,
  deps: Omit<RebuildDeps, 'readModel'>,
  upTo: string,
  told: (progress: RebuildProgress) => void,
): Promise<void> {
  const empty = await openReadModel(url)
  await empty.open(projections)
  await empty.close()
  const readModel = await openReadModel(url, { readOnly: true })
  try {
    await readModel.open(projections)
    await rebuild({ ...deps, readModel }, projections, { told, upTo })
  } finally {
    await readModel.close()
  }
}

const inTemporaryFile = <T>(work: (url: ModelUrl) => Promise<T>): Promise<T> =>
  withTemporaryFolder(join(tmpdir(), 'tokenledger-fold-'), (folder) =>
    work({ readModelUrl: `sqlite:${join(folder, 'fold.db')}` }),
  )

/** There is no projection of that name. */
export class UnknownProjectionError extends Error {
  override name = 'UnknownProjectionError'

  constructor(names: readonly string[]) {
    super(`There is no such projection: there are ${names.join(', ')}.`)
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
