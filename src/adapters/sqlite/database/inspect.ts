import { statSync } from 'node:fs'
import { SIGNAL_STREAMS } from '../../../domain/streams.ts'
import { bytes, type Database, openDatabase, openPlain, toText } from './database.ts'
import { MEMORY } from './driver.ts'
import { walBytes } from './walWatch.ts'

/** Questions for diagnosis that only SQLite can answer about its files. Nothing here writes to a file. */

export interface Engine {
  driver: 'node:sqlite' | 'libsql'
  /** The version of SQLite itself. */
  version: string
}

export async function sqliteEngine(): Promise<Engine> {
  const database = await openPlain(MEMORY)
  try {
    const version = String(database.prepare('SELECT sqlite_version() AS version').get()?.version)
    return { driver: process.getBuiltinModule?.('node:sqlite') ? 'node:sqlite' : 'libsql', version }
  } finally {
    database.close()
  }
}

export interface FileSize {
  /** Bytes of the database; 0 if there is no file. */
  bytes: number
  /** Bytes of the write-ahead log beside it; 0 if there is none. */
  walBytes: number
}

export const sizeOf = (path: string): FileSize => ({
  bytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0,
  walBytes: walBytes(path),
})

/** More would not help anybody. */
export const MAX_PROBLEMS = 5

/**
 * What SQLite finds wrong with a file, in its own words, which may quote any text of the file; empty for a sound one.
 */
export function problems(
  database: Database,
  check: 'quick_check' | 'integrity_check',
  most: number,
): string[] {
  // The limit is not passed as an argument of the check, since some versions would take it for the name of a table.
  const found = database.prepare(`SELECT ${bytes(check, 'found')} FROM pragma_${check} LIMIT ${most}`).all()
  return found.map(({ foundBytes }) => toText(foundBytes)).filter((text) => text !== 'ok')
}

/** Are the file's pages sound, and do its indexes agree with its tables? Reads all of it, in some seconds per GB. */
export const isIntact = (database: Database): boolean => problems(database, 'integrity_check', 1).length === 0

/**
 * SQLite's own check of the file's structure. Reads the whole file, in some seconds per GB, and may run beside a
 * writer.
 * @returns what it finds wrong, in SQLite's words; empty for a sound file
 * @throws StoreUnavailableError if it cannot be opened; DamagedError if it is too damaged to be checked
 */
export async function quickCheck(path: string): Promise<string[]> {
  const database = await openDatabase(path, { readOnly: true, synchronous: 'NORMAL' })
  try {
    return problems(database, 'quick_check', MAX_PROBLEMS)
  } finally {
    database.close()
  }
}

const COUNTED = `
  SELECT count(*) AS n, count(*) FILTER (WHERE ${SIGNAL_STREAMS.map(() => 'stream GLOB ?').join(' OR ')}) AS signals
  FROM events`

/** How many events the file of an event store holds: those of the product, and the signals of processes. */
export async function countEvents(path: string): Promise<{ events: number; signals: number }> {
  const database = await openDatabase(path, { readOnly: true, synchronous: 'NORMAL' })
  try {
    const found = database.prepare(COUNTED).get(...SIGNAL_STREAMS.map((prefix) => `${prefix}*`))
    const [all, signals] = [Number(found?.n), Number(found?.signals)]
    return { events: all - signals, signals }
  } finally {
    database.close()
  }
}
