import { DamagedError } from '../../../domain/errors.ts'
import type { NewEvent, StoredEvent } from '../../../domain/events.ts'
import {
  bytes,
  checksum,
  type Database,
  integer,
  type SqlRow,
  toBytes,
  toText,
} from '../database/database.ts'

/**
 * The tables of the event store, and how an event is written to a row and read from it. SQLite does not notice most
 * flipped bits, and a row that is not found any more is only missed if something else knows of it. So the table
 * `streams` repeats the revision of the last row of each stream, and SQLite's own sequence the position of the last row
 * of all.
 */

const FORMAT = 1
/**
 * The format of a file that events were swept from. Programs that know only the first format would report them as lost.
 */
export const SWEPT_FORMAT = 2

export function createTables(database: Database): void {
  if (!isNew(database)) return
  database.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE events (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      stream TEXT NOT NULL,
      revision INTEGER NOT NULL,
      id TEXT NOT NULL,
      type TEXT NOT NULL,
      data TEXT NOT NULL,
      metadata TEXT NOT NULL,
      crc INTEGER NOT NULL,
      UNIQUE (stream, revision)
    ) STRICT;
    CREATE TABLE streams (
      stream TEXT PRIMARY KEY,
      revision INTEGER NOT NULL,
      crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = ${FORMAT};
    COMMIT`)
}

/** Was nothing ever written to the file? */
export const isNew = (database: Database): boolean => formatOf(database) === 0

/** @throws DamagedError if the file is not an event store that this program can read */
export function checkFormat(database: Database): void {
  const format = formatOf(database)
  if (format !== FORMAT && format !== SWEPT_FORMAT)
    throw new DamagedError(
      `${database.path}: event store format ${String(format)}, not ${FORMAT} or ${SWEPT_FORMAT}`,
    )
}

export const setFormat = (database: Database, format: number): void =>
  database.exec(`PRAGMA user_version = ${format}`)

const formatOf = (database: Database): unknown => database.prepare('PRAGMA user_version').get()?.user_version

const INSERT = `INSERT INTO events (position, stream, revision, id, type, data, metadata, crc)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
/** All of an event as one text, exactly as its checksum covers it. One value costs less to read than seven. */
const LINE = ['position', 'stream', 'revision', 'id', 'type', 'data', 'metadata'].join(' || char(10) || ')
const SELECT = `SELECT position, ${integer('revision')}, ${bytes(`(${LINE})`, 'line')}, ${integer('crc')} FROM events`

/** The rows behind a position, in log order. */
export const rowsAfter = (database: Database, position: number, limit: number): SqlRow[] =>
  database.prepare(`${SELECT} WHERE position > ? ORDER BY position LIMIT ?`).all(position, limit)

export const rowAt = (database: Database, position: number): SqlRow | undefined =>
  database.prepare(`${SELECT} WHERE position = ?`).get(position)

/**
 * The rows of one stream from a revision on. `events.revision` is the column, which has an index, not the selected
 * value.
 */
export const rowsOf = (database: Database, stream: string, from: number, limit: number): SqlRow[] =>
  database
    .prepare(`${SELECT} WHERE stream = ? AND revision >= ? ORDER BY events.revision LIMIT ?`)
    .all(stream, from, limit)

export const toPosition = (number: number): string => String(number).padStart(16, '0')

/** Has the text the form of a position of this kind of log? */
export const isPosition = (text: string): boolean => /^\d{16}$/.test(text)

/** @throws RangeError if it is not a position of this kind of log */
export function fromPosition(position: string | null): number {
  if (position === null) return 0
  if (!isPosition(position)) throw new RangeError(`'${position}' is no position`)
  return Number(position)
}

export function insertEvent(
  database: Database,
  position: number,
  stream: string,
  revision: number,
  event: NewEvent,
): void {
  const texts = [event.id, event.type, JSON.stringify(event.data), JSON.stringify(event.metadata)] as const
  const crc = checksum(`${position}\n${stream}\n${revision}`, ...texts)
  database.prepare(INSERT).run(position, stream, revision, ...texts, crc)
}

export const streamOf = (row: SqlRow): string => namesOf(toText(row.lineBytes)).stream

export const idOf = (row: SqlRow): string => namesOf(toText(row.lineBytes)).id

/** Is the row what was written? */
export const isSound = (row: SqlRow): boolean => row.crc === checksum(toBytes(row.lineBytes))

/** The event of a row. If the row is damaged, `data` and `metadata` are null, and the names may be wrong. */
export function toEvent(row: SqlRow): StoredEvent {
  const line = toText(row.lineBytes)
  const { id, type, stream, rest } = namesOf(line)
  const end = line.indexOf('\n', rest)
  const [data, metadata] = isSound(row) ? [parsed(line.slice(rest, end)), parsed(line.slice(end + 1))] : []
  const isWhole = data !== undefined && metadata !== undefined
  return {
    id,
    type,
    data: isWhole ? data : null,
    metadata: isWhole ? metadata : null,
    stream,
    revision: Number(row.revision),
    position: toPosition(Number(row.position)),
  }
}

/**
 * Undefined for text that this program would not write. A checksum alone can be forged, and JSON has many spellings.
 */
function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return JSON.stringify(value) === text ? value : undefined
  } catch {
    return undefined
  }
}

/** Splits a line, which works since neither names nor JSON have line ends in them. `rest` is where the data begins. */
function namesOf(line: string): { stream: string; id: string; type: string; rest: number } {
  const stream = line.indexOf('\n') + 1
  const revision = line.indexOf('\n', stream) + 1
  const id = line.indexOf('\n', revision) + 1
  const type = line.indexOf('\n', id) + 1
  const rest = line.indexOf('\n', type) + 1
  return {
    stream: line.slice(stream, revision - 1),
    id: line.slice(id, type - 1),
    type: line.slice(type, rest - 1),
    rest,
  }
}

const NEWEST = `SELECT ${integer('revision')}, ${integer('crc')} FROM streams WHERE stream = ?`
const LAST = `SELECT ${integer('max(revision)', 'revision')} FROM events WHERE stream = ?`
const SEQUENCE = `SELECT ${integer('seq')} FROM sqlite_sequence WHERE name = 'events'`

/**
 * The newest revision of a stream; -1 for one without events. The table of streams shows whether the end of a stream was
 * cut off. A damaged row of that table shows nothing, and must not cost a stream whose events are all there.
 */
export function newestRevision(database: Database, stream: string): number {
  const row = database.prepare(NEWEST).get(stream)
  if (row?.crc === checksum(stream, String(row?.revision))) return Number(row?.revision)
  return Number(database.prepare(LAST).get(stream)?.revision ?? -1)
}

export function setNewestRevision(database: Database, stream: string, revision: number): void {
  database
    .prepare('INSERT OR REPLACE INTO streams (stream, revision, crc) VALUES (?, ?, ?)')
    .run(stream, revision, checksum(stream, String(revision)))
}

/** The position of the newest event; 0 in an empty log. */
export function newestPosition(database: Database): number {
  const row = database.prepare(SEQUENCE).get()
  const last = database.prepare('SELECT max(position) AS position FROM events').get()
  const [sequence, position] = [Number(row?.seq ?? 0), Number(last?.position ?? 0)]
  if (sequence !== position) {
    throw new DamagedError(`${database.path}: the last event is at ${position}, but ${sequence} was written`)
  }
  return position
}
