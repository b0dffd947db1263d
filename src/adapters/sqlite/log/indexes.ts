import { DamagedError } from '../../../domain/errors.ts'
import { bytes, type Database, integer, openDatabase, type SqlRow, toText } from '../database/database.ts'
import { MAX_PROBLEMS, problems } from '../database/inspect.ts'
import { sweptRevision } from './sweep.ts'

/** A stream on which the table of streams and the events disagree; or, with `stream` null, what SQLite itself finds. */
export interface IndexProblem {
  stream: string | null
  what: string
}

/** More would not help anybody. */
const MAX_STREAMS = 1000

const DISAGREEING = `
  SELECT ${bytes('stream')}, ${integer('revision', 'said')},
    ${integer('(SELECT max(revision) FROM events WHERE events.stream = streams.stream)', 'newest')}
  FROM streams WHERE newest IS NOT said`
const UNKNOWN = `
  SELECT ${bytes('stream')}, ${integer('max(revision)', 'newest')} FROM events
  WHERE NOT EXISTS (SELECT 1 FROM streams WHERE streams.stream = events.stream)
  GROUP BY stream LIMIT ${MAX_STREAMS}`

/**
 * Compares an event store's own tables with its events, and its indexes with its tables. Reading the log alone would
 * not show that its end was cut off, or that an index leads nowhere. Takes some seconds per million events.
 * @throws StoreUnavailableError, DamagedError
 */
export async function checkIndexes(path: string): Promise<IndexProblem[]> {
  const database = await openDatabase(path, { readOnly: true, synchronous: 'NORMAL' })
  try {
    return [...disagreements(database), ...integrityProblems(database)]
  } finally {
    database.close()
  }
}

function disagreements(database: Database): IndexProblem[] {
  const known = database.prepare(DISAGREEING).all()
  const unknown = database.prepare(UNKNOWN).all()
  const wrong = [...known.filter((row) => !isSwept(database, row)), ...unknown]
  return wrong.slice(0, MAX_STREAMS).map(({ streamBytes, said, newest }) => ({
    stream: toText(streamBytes),
    what: `its newest event is at revision ${shown(newest)}, and ${shown(said)} was written`,
  }))
}

/** Did a sweep take all events of the stream? Where the record of it is damaged, nothing says so. */
function isSwept(database: Database, { streamBytes, said, newest }: SqlRow): boolean {
  if (newest !== null) return false
  try {
    return sweptRevision(database, toText(streamBytes)) === said
  } catch (error) {
    if (error instanceof DamagedError) return false
    throw error
  }
}

const shown = (revision: unknown): string => (typeof revision === 'number' ? String(revision) : 'none')

const integrityProblems = (database: Database): IndexProblem[] =>
  problems(database, 'integrity_check', MAX_PROBLEMS).map((what) => ({ stream: null, what }))
