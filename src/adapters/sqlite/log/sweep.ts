import { DamagedError } from '../../../domain/errors.ts'
import { checksum, type Database, integer, type SqlRow } from '../database/database.ts'
import { isSound, rowsOf, setFormat, streamOf, SWEPT_FORMAT } from './eventRows.ts'
import { Refused } from '../database/groupCommit.ts'

/**
 * Removes events on purpose, and records it. An event that is missing without such a record was lost, and is reported
 * as lost; so are events whose record is lost itself. The tables are made by the first sweep, so that a file without
 * any can still be read by older programs.
 */

/** How many events one step removes: a few milliseconds of work, for which commands have to wait. */
const EVENTS_AT_ONCE = 200

const SWEPT_STREAM = `SELECT ${integer('revision')}, ${integer('crc')} FROM swept_streams WHERE stream = ?`
const SWEPT_POSITIONS = `SELECT first, ${integer('last')}, ${integer('crc')} FROM swept_positions
  WHERE first <= ? ORDER BY first DESC LIMIT 1`

/** The first position from `first` to `last` whose event was not swept; null if all were. */
function firstNotSwept(database: Database, first: number, last: number): number | null {
  for (let position = first; ; ) {
    const range = rangeAt(database, position)
    if (!range || range.last < position) return position
    if (range.last >= last) return null
    position = range.last + 1
  }
}

/** The revision up to which the events of a stream were swept; -1 if none were. */
export function sweptRevision(database: Database, stream: string): number {
  if (!hasTables(database)) return -1
  const row = database.prepare(SWEPT_STREAM).get(stream)
  if (!row) return -1
  if (row.crc !== checksum(stream, String(row.revision)))
    throw new DamagedError(`${stream}: the record of its swept events is damaged`)
  return Number(row.revision)
}

/**
 * Removes some of the first events of a stream, within a transaction. The newest event of the log is never removed,
 * since it shows where the log ends.
 * @returns whether there are more up to the revision
 */
export function sweepSome(database: Database, stream: string, upTo: number, newest: number): boolean {
  const from = sweptRevision(database, stream) + 1
  const rows = rowsOf(database, stream, from, EVENTS_AT_ONCE).filter(
    ({ revision, position }) => Number(revision) <= upTo && Number(position) < newest,
  )
  rows.forEach((row, i) => assertWhole(row, stream, from + i))
  if (rows.length === 0) return false
  createTables(database)
  const last = from + rows.length - 1
  database.prepare('DELETE FROM events WHERE stream = ? AND revision BETWEEN ? AND ?').run(stream, from, last)
  database
    .prepare('INSERT OR REPLACE INTO swept_streams (stream, revision, crc) VALUES (?, ?, ?)')
    .run(stream, last, checksum(stream, String(last)))
  for (const range of rangesOf(rows)) record(database, range)
  return rows.length === EVENTS_AT_ONCE && last < upTo
}

/** A damaged event is not removed, so that it stays visible. */
function assertWhole(row: SqlRow, stream: string, revision: number): void {
  if (streamOf(row) === stream && row.revision === revision && isSound(row)) return
  throw new Refused(new DamagedError(`${stream}: the event at revision ${revision} is damaged`))
}

interface Range {
  first: number
  last: number
}

function rangesOf(rows: readonly SqlRow[]): Range[] {
  const ranges: Range[] = []
  for (const position of rows.map((row) => Number(row.position)).sort((a, b) => a - b)) {
    const open = ranges.at(-1)
    if (open && open.last === position - 1) open.last = position
    else ranges.push({ first: position, last: position })
  }
  return ranges
}

/** Records a swept range, joined with its neighbours, so that there are never more ranges than events between them. */
function record(database: Database, { first, last }: Range): void {
  const before = rangeAt(database, first - 1)
  const joined = before?.last === first - 1 ? before.first : first
  const behind = rangeAt(database, last + 1)
  const end = behind?.first === last + 1 ? behind.last : last
  database.prepare('DELETE FROM swept_positions WHERE first BETWEEN ? AND ?').run(joined, end)
  database
    .prepare('INSERT INTO swept_positions (first, last, crc) VALUES (?, ?, ?)')
    .run(joined, end, checksum(`${joined} ${end}`))
}

/** The last range that begins at or before a position. */
function rangeAt(database: Database, position: number): Range | null {
  if (!hasTables(database)) return null
  const row = database.prepare(SWEPT_POSITIONS).get(position)
  if (!row) return null
  const range = { first: Number(row.first), last: Number(row.last) }
  if (row.crc !== checksum(`${range.first} ${range.last}`))
    throw new DamagedError(`${database.path}: the record of swept events at ${range.first} is damaged`)
  return range
}

const hasTables = (database: Database): boolean =>
  database.prepare("SELECT 1 AS found FROM sqlite_schema WHERE name = 'swept_positions'").get() !== undefined

function createTables(database: Database): void {
  if (hasTables(database)) return
  database.exec(`
    CREATE TABLE swept_positions (
      first INTEGER PRIMARY KEY,
      last INTEGER NOT NULL,
      crc INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE swept_streams (
      stream TEXT PRIMARY KEY,
      revision INTEGER NOT NULL,
      crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID`)
  setFormat(database, SWEPT_FORMAT)
}

/**
 * The first position from `next` on, before a row's, that was not swept; null if none. A damaged file's rows may go
 * back.
 */
export function firstMissing(database: Database, next: number, position: number): number | null {
  if (position === next) return null
  return position < next ? next : firstNotSwept(database, next, position - 1)
}
