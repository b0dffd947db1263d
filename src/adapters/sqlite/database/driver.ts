import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { translate } from './errors.ts'

/**
 * The only file that knows which SQLite driver is used: `node:sqlite` where Node has it without a flag (22.13 and
 * later), else `libsql`. Once Node 20 is no longer supported, `libsql` can be removed.
 */

export type Cell = string | number | null
/** A row of a result. Name its columns, and never spread it, since `libsql` adds a member of its own to each row. */
export type SqlRow = Readonly<Record<string, unknown>>

export interface Statement {
  run(...values: Cell[]): void
  get(...values: Cell[]): SqlRow | undefined
  all(...values: Cell[]): SqlRow[]
}

export interface Connection {
  exec(sql: string): void
  prepare(sql: string): Statement
  close(): void
}

/** SQLite's name for a database without a file. */
export const MEMORY = ':memory:'

/**
 * Connects. For a writer, a missing file is made, and its folder as well.
 * @throws StoreUnavailableError, DamagedError
 */
export async function connect(path: string, readOnly: boolean): Promise<Connection> {
  try {
    if (!readOnly && path !== MEMORY) makeFile(path)
    const builtin = loadBuiltin()
    if (builtin) return new builtin.DatabaseSync(path, { readOnly })
    return await connectLibsql(readOnly ? `${pathToFileURL(path).href}?mode=ro` : path)
  } catch (error) {
    throw translate(error, path)
  }
}

/** Connects to the main file alone, and ignores all files beside it; null if the driver cannot do that. */
export async function connectAlone(path: string): Promise<Connection | null> {
  const url = `${pathToFileURL(path).href}?mode=ro&immutable=1`
  try {
    const builtin = loadBuiltin()
    return builtin ? new builtin.DatabaseSync(url, { readOnly: true }) : await connectLibsql(url)
  } catch {
    // Node before 22.15 takes no URL here.
    return null
  }
}

/** The part of `node:sqlite` that is used here. @types/node for Node 20 does not have it. */
interface NodeSqlite {
  DatabaseSync: new (path: string, options: { readOnly: boolean }) => Connection
}

function loadBuiltin(): NodeSqlite | undefined {
  // When the module loads, Node 22 warns on stderr that it is experimental. Loading is synchronous, so no other warning
  // can be lost here.
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule?.('node:sqlite') as NodeSqlite | undefined
  } finally {
    process.emitWarning = emitWarning
  }
}

async function connectLibsql(file: string): Promise<Connection> {
  const { default: Libsql } = await import('libsql')
  const connection = new Libsql(file)
  return {
    exec: (sql) => void connection.exec(sql),
    close: () => void connection.close(),
    prepare(sql) {
      const statement = connection.prepare(sql)
      // Values are passed as one array, since a single null would be taken for an options object.
      return {
        run: (...values) => void statement.run(values),
        get: (...values) => statement.get(values) as SqlRow | undefined,
        all: (...values) => statement.all(values) as SqlRow[],
      }
    },
  }
}

/**
 * Makes a file that only its owner can read, since it will hold hashes and addresses. SQLite gives the same rights to
 * the files that it makes beside it. An existing file is not opened, since closing it would release all locks that this
 * process has on it.
 */
function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
