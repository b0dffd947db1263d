import { existsSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'
import { type Connection, connect, MEMORY, type SqlRow, type Statement } from './driver.ts'
import { translate } from './errors.ts'
import { whenFree } from './whenFree.ts'

export type { Cell, SqlRow, Statement } from './driver.ts'

/**
 * Selects a text column, or an expression with a name, as bytes, to be read with `toText`. The result is called `name`
 * with `Bytes` behind it. Bytes are needed since text that is not UTF-8, after one flipped bit for example, makes
 * libsql abort the whole process.
 */
export const bytes = (column: string, name = column): string => `CAST(${column} AS BLOB) AS ${name}Bytes`

/**
 * Selects a column of integers. One flipped bit can turn an integer into text, which has the danger that `bytes`
 * avoids.
 */
export const integer = (column: string, name = column): string => `CAST(${column} AS INTEGER) AS ${name}`

/** The bytes of a column that was selected with `bytes`. The drivers have different types for them. */
export function toBytes(value: unknown): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return value instanceof ArrayBuffer ? Buffer.from(value) : Buffer.alloc(0)
}

/** The text of a column that was selected with `bytes`. Bytes that are not UTF-8 become replacement characters. */
export const toText = (value: unknown): string => toBytes(value).toString('utf8')

/** CRC-32 of parts of text with a line end between them. The product has its own checksums, since SQLite has none. */
export function checksum(...parts: (string | Uint8Array)[]): number {
  return parts.reduce<number>((crc, part, i) => crc32(part, i === 0 ? 0 : crc32('\n', crc)), 0)
}

export interface Database {
  readonly path: string
  exec(sql: string): void
  /** Keeps the statement for the next call with the same text. */
  prepare(sql: string): Statement
  /** Runs `work`, which must be synchronous, in one transaction, which is rolled back if it throws. */
  inTransaction<T>(mode: 'deferred' | 'immediate', work: () => T): T
  /** Moves the WAL into the file. @returns false if a reader still needs it */
  checkpoint(): boolean
  close(): void
}

export interface DatabaseOptions {
  readOnly?: boolean
  /** `FULL`: a commit survives a power cut. `NORMAL`: it may be lost, but the file stays consistent. */
  synchronous: 'FULL' | 'NORMAL'
  /** Default: WAL. With a rollback journal, new pages are written only once, but nobody can read meanwhile. */
  journal?: 'WAL' | 'DELETE'
  /** Page cache in KiB. */
  cacheKib?: number
  /** How many pages the WAL may have before they are moved into the file. More pages mean fewer writes in all. */
  checkpointPages?: number
}

/** The rows of a table, oldest first, some at a time, including rows that are added meanwhile. @param select is SQL */
export function* pagesOf(
  database: Database,
  table: string,
  select: string,
  size: number,
): Generator<SqlRow[]> {
  const sql = `SELECT rowid AS n, ${select} FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${size}`
  for (let last = 0; ; ) {
    const rows = database.prepare(sql).all(last)
    if (rows.length === 0) return
    yield rows
    last = Number(rows.at(-1)?.n)
  }
}

/** How many prepared statements are kept. */
const STATEMENTS = 200
/**
 * How long SQLite itself waits for a lock, which blocks the whole process. So this is only for readers, which have
 * nothing else to do. A writer gets an error at once, and waits with `whenFree`.
 */
const BUSY_MILLISECONDS = 2_000
const WAL_BYTES_KEPT = 64 * 1024 * 1024

/**
 * Opens a database, by default in WAL mode. Its settings are made and read back. The directory is made if it is
 * missing.
 * @throws StoreUnavailableError if it cannot be opened; DamagedError if it is no database
 */
export async function openDatabase(path: string, options: DatabaseOptions): Promise<Database> {
  const {
    readOnly = false,
    synchronous,
    journal = 'WAL',
    cacheKib = 8_192,
    checkpointPages = 1_000,
  } = options
  if (readOnly && !existsSync(path)) throw new StoreUnavailableError(`${path} does not exist`)
  const database = wrap(path, await connect(path, readOnly))
  const configure = (): void => {
    database.exec(`PRAGMA busy_timeout = ${readOnly ? BUSY_MILLISECONDS : 0}`)
    // SQLite looks for damage where it can, and a damaged schema must not be able to call functions.
    setting(database, 'trusted_schema', 'OFF', 0)
    setting(database, 'cell_size_check', 'ON', 1)
    setting(database, 'cache_size', String(-cacheKib), -cacheKib)
    if (readOnly) return
    if (path !== MEMORY) setJournal(database, journal)
    // The default cannot be relied on: a WAL database that is opened again may have NORMAL.
    setting(database, 'synchronous', synchronous, synchronous === 'FULL' ? 2 : 1)
    setting(database, 'wal_autocheckpoint', String(checkpointPages), checkpointPages)
    setting(database, 'journal_size_limit', String(WAL_BYTES_KEPT), WAL_BYTES_KEPT)
  }
  try {
    await whenFree(configure)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

export const setJournal = (database: Database, journal: 'WAL' | 'DELETE'): void =>
  setting(database, 'journal_mode', journal, journal.toLowerCase())

/** A database without WAL or any other setting, for the lock file, which needs plain rollback mode. */
export async function openPlain(path: string): Promise<Database> {
  return wrap(path, await connect(path, false))
}

function setting(database: Database, name: string, value: string, readBack: string | number): void {
  database.prepare(`PRAGMA ${name} = ${value}`).all()
  const actual = database.prepare(`PRAGMA ${name}`).get()?.[name]
  if (actual !== readBack) {
    throw new StoreUnavailableError(`${database.path}: PRAGMA ${name} is ${String(actual)}, not ${value}`)
  }
}

function wrap(path: string, connection: Connection): Database {
  const statements = new Map<string, Statement>()
  const attempt = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      throw translate(error, path)
    }
  }
  const exec = (sql: string): void => attempt(() => connection.exec(sql))

  const prepare = (sql: string): Statement => {
    const known = statements.get(sql)
    if (known) return known
    const statement = translating(
      attempt(() => connection.prepare(sql)),
      path,
    )
    const [oldest] = statements.keys()
    if (statements.size >= STATEMENTS && oldest !== undefined) statements.delete(oldest)
    statements.set(sql, statement)
    return statement
  }

  return {
    path,
    exec,
    prepare,
    checkpoint: () => prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.busy === 0,
    inTransaction(mode, work) {
      exec(`BEGIN ${mode}`)
      try {
        const result = work()
        exec('COMMIT')
        return result
      } catch (error) {
        // After some failures SQLite has rolled back by itself; then this ROLLBACK fails, which does not matter.
        try {
          connection.exec('ROLLBACK')
        } catch {}
        throw error
      }
    },
    close() {
      statements.clear()
      attempt(() => connection.close())
    },
  }
}

/** Written out, without a closure for each call, since it runs several times for each event. */
function translating(statement: Statement, path: string): Statement {
  return {
    run(...values) {
      try {
        statement.run(...values)
      } catch (error) {
        throw translate(error, path)
      }
    },
    get(...values) {
      try {
        return statement.get(...values)
      } catch (error) {
        throw translate(error, path)
      }
    },
    all(...values) {
      try {
        return statement.all(...values)
      } catch (error) {
        throw translate(error, path)
      }
    },
  }
}
