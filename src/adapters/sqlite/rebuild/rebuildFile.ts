import { dirname } from 'node:path'
import type { Checkpoint, Step } from '../../../application/ports/checkpoints.ts'
import { SharedValueError, StoreUnavailableError } from '../../../application/ports/errors.ts'
import type { Change, Projection } from '../../../../projections/projection.ts'
import { createCheckpointTable, gapBefore, moved } from '../documents/checkpoints.ts'
import { createCollections, DOCUMENT } from '../documents/collections.ts'
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
 * A file that is being filled and that nobody reads: a document is written once, and the indexes are made in the end, all
 * at once.
 */
export interface Filling {
  checkpoint(projection: Projection): Checkpoint | null
  apply(changes: readonly Change[], step: Step): void
  /** Writes what waits, and makes what readers need. @throws SharedValueError: what is applied after that may help */
  complete(): void
  /** For the one that becomes live. */
  forgetPurpose(): void
  /** The disk is full: it is not to be gone on with, so that others have the room. */
  hasNoRoom(): boolean
  /** Leaves everything in the one file; what waits is written. */
  close(): void
}

/** Pages come in order, and each once: a large cache would only take memory. */
const OF_FILE = { ...SETTINGS, journal: 'DELETE', cacheKib: 8 * 1024 } as const
/** The checkpoint moves after so many changes: a killed rebuild does at most these again. */
const CHANGES_PER_CHECKPOINT = 1_000_000
const COPIED_AT_ONCE = 2_000

/**
 * @param purpose what the file is to hold: one that was begun for another is begun anew
 * @param live where projections that are not asked for are copied from
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
  /** To be filled from the first event on. */
  projections: readonly Projection[]
  /** All that the file has to have. */
  all: readonly Projection[]
}

const nameOf = ({ name, version }: Projection): string => `${name}_v${version}`
const allOf = ({ all }: Purpose): string => all.map(nameOf).sort().join(' ')
const rebuiltOf = ({ projections }: Purpose): string => projections.map(nameOf).sort().join(' ')

/** Was the file filled for these projections? */
export function isFor(database: Database, all: readonly Projection[]): boolean {
  return purposeIn(database).all === allOf({ projections: [], all })
}

/** A run that was killed before it wrote anything has left nothing to judge. */
const isBlank = (database: Database): boolean =>
  database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n === 0

const NAMES = /^[\w ]+$/

/**
 * What the file says of itself, in the words of `allOf` and `rebuiltOf`.
 * @throws DamagedError it says nothing that was ever written
 */
function purposeIn(database: Database): { all: string; rebuilt: string } {
  const sql = `SELECT ${bytes('all_projections', 'all')}, ${bytes('rebuilt')} FROM filling`
  const { allBytes, rebuiltBytes } = database.prepare(sql).get() ?? {}
  const [names, rebuilt] = [toText(allBytes), toText(rebuiltBytes)]
  if (!NAMES.test(names) || !NAMES.test(rebuilt)) throw beyondUse(database.path)
  return { all: names, rebuilt }
}

/** From now on it is the live one, not something to be gone on with. In a transaction. */
export function forgetPurpose(database: Database): void {
  for (const table of ['filling', HELD, DEFERRED]) database.exec(`DROP TABLE IF EXISTS ${table}`)
}

function writePurpose(database: Database, purpose: Purpose): void {
  database.inTransaction('immediate', () => {
    database.exec('CREATE TABLE filling (all_projections TEXT NOT NULL, rebuilt TEXT NOT NULL) STRICT')
    database.prepare('INSERT INTO filling VALUES (?, ?)').run(allOf(purpose), rebuiltOf(purpose))
  })
}

/** The file as an earlier run left it, if it can be gone on with; else what is wrong with it, if anything is. */
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
    // Whatever is wrong with it, it costs nothing but time to begin anew; also where a service that did not want it has
    // not let go of it yet. A full disk is no reason.
    if (error instanceof StoreUnavailableError && !(error instanceof BusyError)) {
      database?.close()
      throw error
    }
    if (!(error instanceof BusyError)) damage = error
  }
  database?.close()
  return { damage }
}

/** An index is made by sorting: on two threads, and not in memory, where libsql would; the disk of the file has room. */
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
  const reached = new Map(all.map((projection) => [projection, checkpoints.get(projection)]))
  let [changesSince, writing, failed, noRoom] = [0, false, false, false]

  const checkpoint = (projection: Projection): Checkpoint | null => reached.get(projection) ?? null

  /** What is written from one checkpoint to the next is one transaction, so that they are in the file together. */
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
      // What two documents share is told before anything is lost.
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
   * Documents may change while they are copied. The checkpoint is the one from before: what has changed since comes
   * again with the log, where the guards know what is there already.
   */
  function copyOnce(projection: Projection): void {
    if (checkpoints.get(projection) !== null) return
    const from = live.checkpoint(projection)
    for (const { name } of projection.collections) copy(name)
    if (from !== null) database.inTransaction('immediate', () => checkpoints.set(projection, from))
  }

  function copy(collection: string): void {
    const [source, target] = [live.collections.table(collection), collections.table(collection)]
    database.exec(`DELETE FROM ${target.name}`)
    for (const some of pagesOf(live.database, source.name, DOCUMENT, COPIED_AT_ONCE)) {
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
          // What waits may be what two documents share: that is to be found by all of them, not to fail halfway.
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
        // Closing takes back what was written since the checkpoint.
        if (failed) return
        if (changesSince > 0) writeUpToHere(bulk.hold)
        setJournal(database, 'WAL')
      } finally {
        database.close()
      }
    },
  }
}
