import { statSync } from 'node:fs'
import { bytes, type Database, integer, openDatabase, openPlain, toText } from './database.ts'
import { MEMORY } from './driver.ts'
import { walBytes } from './walWatch.ts'

/** What only SQLite knows about its files, for diagnosis. Nothing here writes to one. */

export interface Engine {
  driver: 'node:sqlite' | 'libsql'
  /** Of SQLite itself. */
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
  /** Of the database and of the write-ahead log beside it; 0 for a file that is not there. */
  bytes: number
  walBytes: number
}

export const sizeOf = (path: string): FileSize => ({
  bytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0,
  walBytes: walBytes(path),
})

const MAX_PROBLEMS = 5

/** What SQLite finds wrong with a file, in its words; nothing for a sound one. It quotes names as they are in the file. */
function problems(database: Database, check: 'quick_check' | 'integrity_check', most: number): string[] {
  // Its own limit as an argument would be taken for the name of a table by some versions.
  const found = database.prepare(`SELECT ${bytes(check, 'found')} FROM pragma_${check} LIMIT ${most}`).all()
  return found.map(({ foundBytes }) => toText(foundBytes)).filter((text) => text !== 'ok')
}

/** Are the file's pages, and its indexes and tables, of one piece? Reads all of it: some seconds per GB. */
export const isIntact = (database: Database): boolean => problems(database, 'integrity_check', 1).length === 0

/**
 * SQLite's own check of the file's structure. Reads the whole file, some seconds per GB, beside a writer too.
 * @returns what it found wrong, in SQLite's words; nothing for a sound file
 * @throws StoreUnavailableError cannot be opened; DamagedError too damaged to be checked
 */
export async function quickCheck(path: string): Promise<string[]> {
  const database = await openDatabase(path, { readOnly: true, synchronous: 'NORMAL' })
  try {
    return problems(database, 'quick_check', MAX_PROBLEMS)
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

/** Streams that the table of streams and the events do not agree on, and what SQLite itself finds. */
export interface IndexProblem {
  stream: string | null
  what: string
}

/** More say no more. */
const MAX_STREAMS = 1000

const DISAGREEING = `
  SELECT ${bytes('stream')}, ${integer('revision', 'said')},
    ${integer('(SELECT max(revision) FROM events WHERE events.stream = streams.stream)', 'newest')}
  FROM streams WHERE newest IS NOT said LIMIT ${MAX_STREAMS}`
const UNKNOWN = `
  SELECT ${bytes('stream')}, ${integer('max(revision)', 'newest')} FROM events
  WHERE NOT EXISTS (SELECT 1 FROM streams WHERE streams.stream = events.stream)
  GROUP BY stream LIMIT ${MAX_STREAMS}`

/**
 * Holds an event store's own tables against its events, and its indexes against its tables: whoever reads the log
 * alone does not see that its end was cut off, or that an index leads nowhere. Some seconds per million events.
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
  return [...known, ...unknown].map(({ streamBytes, said, newest }) => ({
    stream: toText(streamBytes),
    what: `its newest event is at revision ${shown(newest)}, and ${shown(said)} was written`,
  }))
}

const shown = (revision: unknown): string => (typeof revision === 'number' ? String(revision) : 'none')

const integrityProblems = (database: Database): IndexProblem[] =>
  problems(database, 'integrity_check', MAX_PROBLEMS).map((what) => ({ stream: null, what }))
