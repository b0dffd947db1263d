import { dirname } from 'node:path'
import type { Checkpoint, Step } from '../../../application/ports/checkpoints.ts'
import { SharedValueError, StoreUnavailableError } from '../../../application/ports/errors.ts'
import type { DocumentChange, Projection } from '../../../../projections/projection.ts'
import { createCheckpointTable, gapBefore, moved } from '../documents/checkpoints.ts'
import { createCollections } from '../documents/collections.ts'
import { insertDocuments } from '../documents/documents.ts'
import { bytes, type Database, openDatabase, pagesOf, setJournal, toText } from '../database/database.ts'
import { DEFERRED } from './deferredChanges.ts'
import { createBulkLoader } from './bulkLoader.ts'
import { HELD } from './heldDocuments.ts'
import { BusyError, isTaken, NoRoomError } from '../database/errors.ts'
import { isIntact, sizeOf } from '../database/inspect.ts'
import { type ModelFile, SETTINGS } from '../documents/modelFile.ts'
import { beyondUse, checkSeal, unseal } from '../documents/seal.ts'
import { sharedValues } from '../documents/sharedValues.ts'
import { assertRoom } from '../database/space.ts'

/**
 * A file that is being filled, and that nobody reads yet. So each document is written only once, and all indexes are
 * made in the end.
 */
export interface Filling {
  checkpoint(projection: Projection): Checkpoint | null
  apply(changes: readonly DocumentChange[], step: Step): void
  /** Writes everything and makes the indexes. @throws SharedValueError; it can be called again once more was applied */
  complete(): void
  /** Removes the tables that only a rebuild needs, before the file becomes the live one. */
  forgetPurpose(): void
  /** Was the disk full? Then the file is not to be resumed but deleted, so that others have the room. */
  hasNoRoom(): boolean
  /** Writes everything, and leaves it all in the one file. */
  close(): void
}

/** The cache is small, since pages are written in order, and each only once. */
const OF_FILE = { ...SETTINGS, journal: 'DELETE', cacheKib: 8 * 1024 } as const
/** The checkpoint moves after so many changes. At most these are repeated if a rebuild is killed. */
const CHANGES_PER_CHECKPOINT = 1_000_000
const COPIED_AT_ONCE = 2_000

/**
 * Opens the file, and resumes what an earlier run has left in it, or begins anew.
 * @param purpose what the file has to hold. A file that was begun for another purpose is begun anew
 * @param live the read model from which projections that are not rebuilt are copied
 */
export async function openFilling(
  file: string,
  purpose: Purpose,
  live: ModelFile,
  startAnew: (damage?: unknown) => Promise<void>,
): Promise<Filling> {
  const { filling: begun, damage } = await resume(file, purpose, live)
  if (begun) return begun
  await startAnew(damage)
  const database = await openDatabase(file, OF_FILE)
  try {
    writePurpose(database, purpose)
    return filling(database, purpose, live)
  } catch (error) {
    database.close()
    throw error
  }
}

export interface Purpose {
  /** The projections to fill from the first event on. */
  projections: readonly Projection[]
  /** All projections that the file has to hold. */
  all: readonly Projection[]
}

const nameOf = ({ name, version }: Projection): string => `${name}_v${version}`
const allOf = ({ all }: Purpose): string => all.map(nameOf).sort().join(' ')
const rebuiltOf = ({ projections }: Purpose): string => projections.map(nameOf).sort().join(' ')

/** Was the file filled for these projections? */
export function isFor(database: Database, all: readonly Projection[]): boolean {
  return purposeIn(database).all === allOf({ projections: [], all })
}

/** Is the file empty? A run that was killed early leaves a file that says nothing of its purpose. */
const isBlank = (database: Database): boolean =>
  database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n === 0

const NAMES = /^[\w ]+$/

/**
 * The purpose that is stored in the file, as `allOf` and `rebuiltOf` write it.
 * @throws DamagedError if it is nothing that they could have written
 */
function purposeIn(database: Database): { all: string; rebuilt: string } {
  const sql = `SELECT ${bytes('all_projections', 'all')}, ${bytes('rebuilt')} FROM filling`
  const { allBytes, rebuiltBytes } = database.prepare(sql).get() ?? {}
  const [names, rebuilt] = [toText(allBytes), toText(rebuiltBytes)]
  if (!NAMES.test(names) || !NAMES.test(rebuilt)) throw beyondUse(database.path)
  return { all: names, rebuilt }
}

/** Removes the tables of a rebuild, so that the file is not resumed any more. To be called within a transaction. */
export function forgetPurpose(database: Database): void {
  for (const table of ['filling', HELD, DEFERRED]) database.exec(`DROP TABLE IF EXISTS ${table}`)
}

function writePurpose(database: Database, purpose: Purpose): void {
  database.inTransaction('immediate', () => {
    database.exec('CREATE TABLE filling (all_projections TEXT NOT NULL, rebuilt TEXT NOT NULL) STRICT')
    database.prepare('INSERT INTO filling VALUES (?, ?)').run(allOf(purpose), rebuiltOf(purpose))
  })
}

/**
 * Opens the file as an earlier run has left it, if that can be resumed; else says what is wrong with it, if anything
 * is.
 */
async function resume(
  file: string,
  purpose: Purpose,
  live: ModelFile,
): Promise<{ filling?: Filling; damage?: unknown }> {
  if (sizeOf(file).bytes === 0) return {}
  let database: Database | undefined
  let damage: unknown
  try {
    const sealed = checkSeal(file)
    database = await openDatabase(file, OF_FILE)
    const found = isBlank(database) ? null : purposeIn(database)
    const fits = found?.all === allOf(purpose) && found.rebuilt === rebuiltOf(purpose)
    if (fits && !sealed && !isIntact(database)) throw beyondUse(file)
    if (fits) {
      unseal(file)
      return { filling: filling(database, purpose, live) }
    }
  } catch (error) {
    // Whatever is wrong with the file, beginning anew costs nothing but time; so also if a service that refused it has
    // not closed it yet. A full disk is no reason to begin anew.
    if (error instanceof StoreUnavailableError && !(error instanceof BusyError)) {
      database?.close()
      throw error
    }
    if (!(error instanceof BusyError)) damage = error
  }
  database?.close()
  return { damage }
}

/**
 * Makes indexes by sorting on two threads and on the disk of the file, which has room. Without this, libsql would sort
 * in memory, and others in a temporary folder that may be small.
 */
function sortOnDisk(database: Database, work: () => void): void {
  const before = process.env.SQLITE_TMPDIR
  process.env.SQLITE_TMPDIR ??= dirname(database.path)
  try {
    database.exec('PRAGMA temp_store = FILE; PRAGMA threads = 1')
    work()
  } finally {
    if (before === undefined) delete process.env.SQLITE_TMPDIR
  }
}

function filling(database: Database, purpose: Purpose, live: ModelFile): Filling {
  const { projections, all } = purpose
  const collections = createCollections(database)
  const checkpoints = createCheckpointTable(database)

  checkpoints.create()
  collections.open(all, 'tables')
  for (const projection of all) if (!projections.includes(projection)) copyOnce(projection)
  const tables = all.flatMap((one) => one.collections.map(({ name }) => collections.table(name)))
  const bulk = createBulkLoader(database, tables)
  const there = checkpoints.read()
  const reached = new Map(all.map((projection) => [projection, there(projection)]))
  let [changesSince, writing, failed, noRoom] = [0, false, false, false]

  const checkpoint = (projection: Projection): Checkpoint | null => reached.get(projection) ?? null

  /**
   * All that is written between two checkpoints is one transaction, so that documents and checkpoint stay consistent.
   */
  function write(work: () => void): void {
    watched(() => {
      assertRoom(database.path, 0)
      if (!writing) database.exec('BEGIN IMMEDIATE')
      writing = true
      work()
    })
  }

  function watched(work: () => void): void {
    try {
      work()
    } catch (error) {
      // A shared value is reported before anything is lost, so the file can still be used.
      failed ||= !(error instanceof SharedValueError)
      noRoom ||= error instanceof NoRoomError
      throw error
    }
  }

  function writeUpToHere(work: () => void): void {
    write(() => {
      work()
      for (const [projection, at] of reached) if (at) checkpoints.set(projection, at)
      database.exec('COMMIT')
    })
    writing = false
    changesSince = 0
  }

  /**
   * Documents may change while they are copied, so the checkpoint is read before. Changes since then come again from
   * the log, and the guards ignore those that were copied already.
   */
  function copyOnce(projection: Projection): void {
    if (checkpoints.read()(projection) !== null) return
    const from = live.checkpoint(projection)
    for (const { name } of projection.collections) copy(name)
    if (from !== null) database.inTransaction('immediate', () => checkpoints.set(projection, from))
  }

  function copy(collection: string): void {
    const [source, target] = [live.collections.table(collection), collections.table(collection)]
    database.exec(`DELETE FROM ${target.name}`)
    for (const some of pagesOf(live.database, source.name, source.columns, COPIED_AT_ONCE)) {
      assertRoom(database.path, 0)
      database.inTransaction('immediate', () => insertDocuments(database, target, some.map(source.parse)))
    }
  }

  return {
    checkpoint,

    apply(changes, step) {
      if (failed) throw new StoreUnavailableError(`${database.path} has missed a change`)
      const gap = gapBefore(checkpoint, step.from)
      if (gap) throw gap
      for (const change of changes) bulk.apply(collections.table(change.collection), change)
      for (const [projection, to] of moved(checkpoint, step)) reached.set(projection, to)
      changesSince += changes.length
      if (bulk.isFull()) write(bulk.writeCold)
      if (changesSince >= CHANGES_PER_CHECKPOINT) writeUpToHere(bulk.hold)
    },

    complete() {
      writeUpToHere(bulk.writeAll)
      watched(() =>
        sortOnDisk(database, () => {
          collections.open(all, 'with ids')
          // Deferred changes may give two documents the same value. Without the unique indexes they do not fail
          // halfway; making these indexes afterwards then finds all such documents.
          if (bulk.waits()) collections.dropUnique(all)
          bulk.settle()
          try {
            collections.open(all, 'with indexes')
          } catch (error) {
            throw isTaken(error) ? sharedValues(database, collections, all) : error
          }
        }),
      )
    },

    forgetPurpose: () => database.inTransaction('immediate', () => forgetPurpose(database)),
    hasNoRoom: () => noRoom,

    close() {
      try {
        // Closing without a commit rolls back what was written since the last checkpoint.
        if (failed) return
        if (changesSince > 0) writeUpToHere(bulk.hold)
        setJournal(database, 'WAL')
      } finally {
        database.close()
      }
    },
  }
}
