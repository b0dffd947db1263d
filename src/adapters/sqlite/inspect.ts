import { existsSync, statSync } from 'node:fs'
import { openDatabase, openPlain } from './database.ts'

/** What only SQLite knows about its files, for diagnosis. Nothing here writes to one. */

export interface Engine {
  driver: 'node:sqlite' | 'libsql'
  /** Of SQLite itself. */
  version: string
}

export async function sqliteEngine(): Promise<Engine> {
  const database = await openPlain(':memory:')
  try {
    const version = String(database.prepare('SELECT sqlite_version() AS version').get()?.version)
    return { driver: process.getBuiltinModule?.('node:sqlite') ? 'node:sqlite' : 'libsql', version }
  } finally {
    database.close()
  }
}

export interface FileSize {
  /** Of the database and of the write-ahead log beside it; 0 for a file that is not there. */
  bytes: number
  walBytes: number
}

export const sizeOf = (path: string): FileSize => ({ bytes: bytesOf(path), walBytes: bytesOf(`${path}-wal`) })

const bytesOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0)

const MAX_PROBLEMS = 5

/**
 * SQLite's own check of the file's structure. Reads the whole file, some seconds per GB, beside a writer too.
 * @returns what it found wrong, in SQLite's words; nothing for a sound file
 * @throws StoreUnavailableError cannot be opened; DamagedError too damaged to be checked
 */
export async function quickCheck(path: string): Promise<string[]> {
  const database = await openDatabase(path, { readOnly: true, synchronous: 'NORMAL' })
  try {
    const found = database.prepare(`PRAGMA quick_check(${MAX_PROBLEMS})`).all()
    return found.map((row) => String(row.quick_check)).filter((text) => text !== 'ok')
  } finally {
    database.close()
  }
}

/** How many events an event store's file holds. */
export async function countEvents(path: string): Promise<number> {
  const database = await openDatabase(path, { readOnly: true, synchronous: 'NORMAL' })
  try {
    return Number(database.prepare('SELECT count(*) AS n FROM events').get()?.n)
  } finally {
    database.close()
  }
}
