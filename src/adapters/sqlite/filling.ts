import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Step } from '../../application/ports.ts'
import type { Change, Projection } from '../../../projections/projection.ts'
import { createCheckpoints } from './checkpoints.ts'
import { createCollections, DOCUMENT } from './collections.ts'
import { newEntry, writeEntry } from './documents.ts'
import { type Database, openDatabase } from './database.ts'
import { createBulk } from './bulk.ts'
import { gapBefore, type ModelFile, SETTINGS } from './model-file.ts'
import { checkSeal, unseal } from './seal.ts'

/**
 * A file that is being filled and that nobody reads: a document which changes often is written seldom, and the secondary
 * indexes are made in the end, all at once. Documents may be ahead of the checkpoint, whose guards know it.
 */
export interface Filling {
  checkpoint(projection: Projection): string | null
  apply(changes: readonly Change[], step: Step): void
  /** Writes what waits, and makes what readers need. */
  complete(): void
  /** For the one that becomes live. */
  forgetPurpose(): void
  /** Leaves everything in the one file; what waits is written. */
  close(): void
}

/** Pages come in order, and each once: a large cache would only take memory. */
const OF_FILE = { ...SETTINGS, cacheKib: 8 * 1024 }
/** The checkpoint moves after so many changes: a killed rebuild does at most these again. */
const CHANGES_PER_CHECKPOINT = 500_000
const COPIED_AT_ONCE = 2_000

/**
 * @param purpose what the file is to hold: one that was begun for another is begun anew
 * @param live where projections that are not asked for are copied from
 */
export async function openFilling(
  file: string,
  purpose: Purpose,
  live: ModelFile,
  startAnew: () => Promise<void>,
): Promise<Filling> {
  let database = await goOn(file, purpose)
  if (!database) {
    await startAnew()
    database = await openDatabase(file, OF_FILE)
    writePurpose(database, purpose)
  }
  try {
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
  const found = database.prepare('SELECT all_projections AS names FROM purpose').get()?.names
  return found === allOf({ projections: [], all })
}

/** From now on it is the live one, not something to be gone on with. */
export function forgetPurpose(database: Database): void {
  database.exec('DROP TABLE IF EXISTS purpose')
}

function writePurpose(database: Database, purpose: Purpose): void {
  database.inTransaction('immediate', () => {
    database.exec('CREATE TABLE purpose (all_projections TEXT NOT NULL, rebuilt TEXT NOT NULL) STRICT')
    database.prepare('INSERT INTO purpose VALUES (?, ?)').run(allOf(purpose), rebuiltOf(purpose))
  })
}

/** The file as an earlier run left it, if it can be gone on with. */
async function goOn(file: string, purpose: Purpose): Promise<Database | null> {
  if (!existsSync(file)) return null
  let database: Database | undefined
  try {
    const sealed = checkSeal(file)
    database = await openDatabase(file, OF_FILE)
    const found = database.prepare('SELECT all_projections AS names, rebuilt FROM purpose').get()
    const fits = found?.names === allOf(purpose) && found.rebuilt === rebuiltOf(purpose)
    if (fits && (sealed || isIntact(database))) {
      unseal(file)
      return database
    }
  } catch {
    // Whatever is wrong with it, it costs nothing but time to begin anew.
  }
  database?.close()
  return null
}

const isIntact = (database: Database): boolean =>
  database.prepare('PRAGMA integrity_check(1)').get()?.integrity_check === 'ok'

/** An index is made by sorting, which libsql would do in memory, all at once; the disk of the file itself has room. */
function sortOnDisk(database: Database, work: () => void): void {
  const before = process.env.SQLITE_TMPDIR
  process.env.SQLITE_TMPDIR ??= dirname(database.path)
  try {
    database.exec('PRAGMA temp_store = FILE')
    work()
  } finally {
    if (before === undefined) delete process.env.SQLITE_TMPDIR
  }
}

function filling(database: Database, purpose: Purpose, live: ModelFile): Filling {
  const { projections, all } = purpose
  const collections = createCollections(database)
  const checkpoints = createCheckpoints(database)
  const bulk = createBulk(database)
  let changesSince = 0
  const reached = new Map<Projection, string>()

  checkpoints.create()
  collections.open(all, 'tables')
  for (const projection of all) if (!projections.includes(projection)) copyOnce(projection)

  const checkpoint = (projection: Projection): string | null =>
    reached.get(projection) ?? checkpoints.get(projection)

  function write(work: () => void): void {
    try {
      database.inTransaction('immediate', work)
    } catch (error) {
      bulk.forget()
      reached.clear()
      throw error
    }
  }

  function writeAll(): void {
    write(() => {
      bulk.writeAll()
      for (const [projection, position] of reached) checkpoints.advance(projection, position)
    })
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
    if (from !== null) database.inTransaction('immediate', () => checkpoints.advance(projection, from))
  }

  function copy(collection: string): void {
    const [source, target] = [live.collections.table(collection), collections.table(collection)]
    database.exec(`DELETE FROM ${target.name}`)
    const rows = live.database.prepare(
      `SELECT rowid AS n, ${DOCUMENT} FROM ${source.name} WHERE rowid > ? ORDER BY rowid LIMIT ${COPIED_AT_ONCE}`,
    )
    for (let last = 0; ; ) {
      const some = rows.all(last)
      if (some.length === 0) return
      last = Number(some.at(-1)?.n)
      database.inTransaction('immediate', () => {
        for (const row of some) {
          const [id, document] = source.parse(row)
          writeEntry(database, { ...newEntry(target, id), document })
        }
      })
    }
  }

  return {
    checkpoint,

    apply(changes, step) {
      const gap = gapBefore(checkpoint, step)
      if (gap) throw gap
      for (const change of changes) bulk.apply(collections.table(change.collection), change)
      for (const projection of step.of) {
        // One that was copied is further on than those that are rebuilt.
        if ((checkpoint(projection) ?? '') < step.position) reached.set(projection, step.position)
      }
      changesSince += changes.length
      if (changesSince >= CHANGES_PER_CHECKPOINT) writeAll()
      else if (bulk.isFull()) write(bulk.writeCold)
    },

    complete() {
      writeAll()
      sortOnDisk(database, () => collections.open(all, 'with indexes'))
    },

    forgetPurpose: () => forgetPurpose(database),

    close() {
      try {
        if (reached.size > 0) writeAll()
        database.checkpoint()
      } finally {
        database.close()
      }
    },
  }
}
