import { existsSync } from 'node:fs'
import type { Step } from '../../application/ports.ts'
import type { Change, Projection } from '../../../projections/projection.ts'
import { createCheckpoints } from './checkpoints.ts'
import { createCollections, DOCUMENT } from './collections.ts'
import { type Database, openDatabase } from './database.ts'
import { createDocuments } from './documents.ts'
import { gapBefore, type ModelFile, SETTINGS } from './model-file.ts'
import { checkSeal, unseal } from './seal.ts'

/**
 * A file that is being filled and that nobody reads: documents are written in large transactions, so that one which
 * changes often is written seldom, and the secondary indexes are made in the end, all at once.
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

/** As many documents wait at the most, some 40 MB of them. */
const WAITING = 20_000
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
  const there = await goOn(file, purpose)
  if (there) return filling(there, purpose, live)
  await startAnew()
  const database = await openDatabase(file, SETTINGS)
  writePurpose(database, purpose)
  return filling(database, purpose, live)
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
    database = await openDatabase(file, SETTINGS)
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

function filling(database: Database, purpose: Purpose, live: ModelFile): Filling {
  const { projections, all } = purpose
  const collections = createCollections(database)
  const checkpoints = createCheckpoints(database)
  const documents = createDocuments(database, WAITING)
  const reached = new Map<Projection, string>()

  checkpoints.create()
  collections.open(all, 'tables')
  for (const projection of all) if (!projections.includes(projection)) copyOnce(projection)

  const checkpoint = (projection: Projection): string | null =>
    reached.get(projection) ?? checkpoints.get(projection)

  function write(): void {
    try {
      database.inTransaction('immediate', () => {
        documents.write()
        for (const [projection, position] of reached) checkpoints.advance(projection, position)
      })
      documents.committed()
    } catch (error) {
      documents.forget()
      throw error
    } finally {
      reached.clear()
    }
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
          documents.put(target, id, document)
        }
        documents.write()
      })
      documents.committed()
    }
  }

  return {
    checkpoint,

    apply(changes, step) {
      const gap = gapBefore(checkpoint, step)
      if (gap) throw gap
      for (const change of changes) documents.apply(collections.table(change.collection), change)
      for (const projection of step.of) reached.set(projection, step.position)
      if (documents.waiting() >= WAITING) write()
    },

    complete() {
      write()
      collections.open(all, 'with indexes')
    },

    forgetPurpose: () => forgetPurpose(database),

    close() {
      try {
        if (reached.size > 0) write()
        database.checkpoint()
      } finally {
        database.close()
      }
    },
  }
}
