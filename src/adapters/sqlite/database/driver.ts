import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { translate } from './errors.ts'

/**
 * The only file that knows which SQLite driver runs: `node:sqlite` where Node has it without a flag (22.13 and
 * later), else `libsql`. It goes back to one driver when Node 20 goes.
 */

export type Cell = string | number | null
/** Name the columns, never spread a row: `libsql` adds a member of its own to each. */
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

/** A writer's file is made, with its folder, where it is missing. @throws StoreUnavailableError, DamagedError */
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

/** Reads what is in the main file, whatever lies beside it, and opens nothing else; null where the driver cannot. */
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

/** The part of `node:sqlite` used here; @types/node for Node 20 does not have it. */
interface NodeSqlite {
  DatabaseSync: new (path: string, options: { readOnly: boolean }) => Connection
}

function loadBuiltin(): NodeSqlite | undefined {
  // Node 22 warns on stderr, as the module loads, that its interface is experimental. It loads synchronously, so
  // nothing else can warn in between.
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
      // One array, not a list of values: a lone null would be taken for an options object.
      return {
        run: (...values) => void statement.run(values),
        get: (...values) => statement.get(values) as SqlRow | undefined,
        all: (...values) => statement.all(values) as SqlRow[],
      }
    },
  }
}

/**
 * Hashes and addresses are in it: for its owner alone, as what SQLite makes beside it is then. A file that is there is
 * left alone: closing it would end the locks that this process has on it.
 */
function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
