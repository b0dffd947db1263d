import { crc32 } from 'node:zlib'
import { DamagedError } from '../../domain/errors.ts'
import type { NewEvent, StoredEvent } from '../../domain/events.ts'
import type { Cell, Database, Row } from './database.ts'

/**
 * The tables of the event store and how an event is written to and read from a row. `streams` repeats what the last
 * row of each stream in `events` says, and SQLite's own sequence what its last row of all says: SQLite does not
 * notice most flipped bits, and a row that is no longer found is only missed if something else knows of it.
 */

const FORMAT = 1

export function createTables(database: Database): void {
  if (formatOf(database) !== 0) return
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

/** @throws DamagedError the file is not an event store this program can read */
export function checkFormat(database: Database): void {
  const format = formatOf(database)
  if (format !== FORMAT) throw new DamagedError(`${database.path}: event store format ${format}, not ${FORMAT}`)
}

const formatOf = (database: Database): unknown => database.prepare('PRAGMA user_version').get()?.user_version

export const COLUMNS = 'position, stream, revision, id, type, data, metadata, crc'

export const toPosition = (number: number): string => String(number).padStart(16, '0')

/** @throws RangeError not a position of this store */
export function fromPosition(position: string | null): number {
  if (position === null) return 0
  if (!/^\d{16}$/.test(position)) throw new RangeError(`'${position}' is no position`)
  return Number(position)
}

/** The values of one row, in the order of `COLUMNS`. */
export function toCells(position: number, stream: string, revision: number, event: NewEvent): Cell[] {
  const data = JSON.stringify(event.data)
  const metadata = JSON.stringify(event.metadata)
  const crc = checksum(position, stream, revision, event.id, event.type, data, metadata)
  return [position, stream, revision, event.id, event.type, data, metadata, crc]
}

/** Is the row what was written? */
export const isSound = (row: Row): boolean =>
  row.crc === checksum(row.position, row.stream, row.revision, row.id, row.type, row.data, row.metadata)

/** The event of a row; one that was damaged has `data` and `metadata` null, and its names may be wrong. */
export function toEvent(row: Row): StoredEvent {
  const sound = isSound(row)
  return {
    id: String(row.id),
    type: String(row.type),
    data: sound ? JSON.parse(String(row.data)) : null,
    metadata: sound ? JSON.parse(String(row.metadata)) : null,
    stream: String(row.stream),
    revision: Number(row.revision),
    position: toPosition(Number(row.position)),
  }
}

/** Newest revision of a stream, -1 without events. */
export function newestRevision(database: Database, stream: string): number {
  const row = database.prepare('SELECT revision, crc FROM streams WHERE stream = ?').get(stream)
  if (!row) return -1
  if (row.crc !== checksum(stream, row.revision)) throw new DamagedError(`${stream}: its newest revision is damaged`)
  return Number(row.revision)
}

export function setNewestRevision(database: Database, stream: string, revision: number): void {
  database
    .prepare('INSERT OR REPLACE INTO streams (stream, revision, crc) VALUES (?, ?, ?)')
    .run(stream, revision, checksum(stream, revision))
}

/** Position of the newest event, 0 in an empty log. */
export function newestPosition(database: Database): number {
  const row = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'").get()
  const last = database.prepare('SELECT max(position) AS position FROM events').get()
  const [sequence, position] = [Number(row?.seq ?? 0), Number(last?.position ?? 0)]
  if (sequence !== position) {
    throw new DamagedError(`${database.path}: the last event is at ${position}, but ${sequence} was written`)
  }
  return position
}

const checksum = (...values: unknown[]): number => crc32(values.join('\n'))
