import type { Collection, Projection } from '../../../projections/projection.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredDocument } from '../../../projections/change.ts'
import {
  bytes,
  type Cell,
  checksum,
  type Database,
  integer,
  pagesOf,
  type Row,
  toBytes,
  toText,
} from './database.ts'

/** A collection in one version of its projection: a table of whole documents and of copies of the indexed fields. */
export interface Table {
  name: string
  /** The indexed fields. Their columns are written only when they change, so most updates touch no index. */
  fields: readonly string[]
  /** Made once: they run several times for each event projected. */
  statements: { load: string; insert: string; insertMany: string; update: string; updateWithFields: string }
  /** How a field is named in SQL. */
  sql(field: string): string
  /** @throws DamagedError the row, of columns `DOCUMENT`, is not what was written */
  parse(row: Row): [id: string, document: StoredDocument]
}

export interface Collections {
  /** What is missing of the tables is made, or nothing; indexes may follow later, which is faster for all at once. */
  open(projections: readonly Projection[], make: 'with indexes' | 'tables' | 'not'): void
  /** @throws RangeError no opened projection has such a collection: a mistake in the program */
  table(collection: string): Table
}

const NAME = /^[A-Za-z][A-Za-z0-9]*$/
const FIELD = /^[A-Za-z][A-Za-z0-9.]*$/

export const DOCUMENT = `${bytes('id')}, ${bytes('doc')}, ${integer('crc')}`

export function createCollections(database: Database): Collections {
  const tables = new Map<string, Table>()
  return {
    open(projections, make) {
      for (const { version, collections } of projections) {
        for (const collection of collections) {
          const table = tableOf(collection, version)
          if (make !== 'not') {
            database.inTransaction('immediate', () => {
              createTable(database, table)
              if (make === 'with indexes') createIndexes(database, table, collection)
            })
          }
          tables.set(collection.name, table)
        }
      }
    },
    table(collection) {
      const table = tables.get(collection)
      if (!table) throw new RangeError(`no open projection has a collection '${collection}'`)
      return table
    },
  }
}

/** One document with its bookkeeping, null if there is none. */
export function load(database: Database, table: Table, id: string): StoredDocument | null {
  const row = database.prepare(table.statements.load).get(id)
  if (!row) return null
  const [found, document] = table.parse(row)
  if (found !== id) throw new DamagedError(`${table.name}: '${id}' is damaged`)
  return document
}

/** What `insertMany` inserts: a call costs about as much as a row. */
export const ROWS_AT_ONCE = 20

const IDS_AT_ONCE = 5_000

/** All ids, in no order that means anything; without an index, too. */
export function* idsOf(database: Database, { name }: Table): Generator<string> {
  for (const rows of pagesOf(database, name, bytes('id'), IDS_AT_ONCE))
    for (const { idBytes } of rows) yield toText(idBytes)
}

/** The value at a dotted path, null if there is none, as SQL has it: no booleans, and JSON for anything composed. */
export function cellAt(document: Record<string, unknown>, field: string): Cell {
  const value = field.split('.').reduce<unknown>(member, document)
  return toCell(value ?? null)
}

/** libsql aborts the process when it is given a boolean. */
export function toCell(value: unknown): Cell {
  if (typeof value === 'boolean') return Number(value)
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : (value as Cell)
}

const columnOf = (field: string): string => `f_${field.replaceAll('.', '_')}`

const member = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined

function tableOf({ name, indexes }: Collection, version: number): Table {
  if (!NAME.test(name)) throw new RangeError(`'${name}' is no collection name`)
  if (!Number.isSafeInteger(version) || version < 0) throw new RangeError(`${version} is no version`)
  const fields = [...new Set(indexes.flatMap((index) => index.fields))].filter((field) => field !== 'id')
  const table = `${name}_v${version}`
  return {
    name: table,
    fields,
    statements: statementsOf(table, fields.map(columnOf)),
    sql(field) {
      if (!FIELD.test(field)) throw new RangeError(`'${field}' is no field name`)
      if (field === 'id') return 'id'
      return fields.includes(field) ? columnOf(field) : `json_extract(doc, '$.${field}')`
    },
    parse(row) {
      const [id, doc] = [toText(row.idBytes), toBytes(row.docBytes)]
      if (row.crc !== checksum(id, doc)) throw new DamagedError(`${name}: the document '${id}' is damaged`)
      return [id, JSON.parse(doc.toString('utf8')) as StoredDocument]
    },
  }
}

function statementsOf(table: string, columns: string[]): Table['statements'] {
  const all = ['doc', 'crc', ...columns, 'id']
  const insert = `INSERT INTO ${table} (${all.join(', ')}) VALUES `
  const row = `(${all.map(() => '?').join(', ')})`
  return {
    load: `SELECT ${DOCUMENT} FROM ${table} WHERE id = ?`,
    update: `UPDATE ${table} SET doc = ?, crc = ? WHERE id = ?`,
    updateWithFields: `UPDATE ${table} SET ${['doc', 'crc', ...columns].map((name) => `${name} = ?`).join(', ')} WHERE id = ?`,
    insert: insert + row,
    insertMany: insert + Array.from({ length: ROWS_AT_ONCE }, () => row).join(', '),
  }
}

// With rowids: the large rows then stay out of the tree of keys, which makes an update three times as fast. And that is
// an index like the others, so that it can be made last.
function createTable(database: Database, table: Table): void {
  const columns = table.fields.map((field) => `, ${checkedColumn(table, field)} ANY`).join('')
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${table.name}
       (id TEXT NOT NULL, doc TEXT NOT NULL, crc INTEGER NOT NULL${columns}) STRICT`,
  )
}

function createIndexes(database: Database, table: Table, { indexes }: Collection): void {
  database.exec(`CREATE UNIQUE INDEX IF NOT EXISTS ${table.name}_id ON ${table.name} (id)`)
  for (const { fields, unique } of indexes) {
    const names = fields.map(table.sql)
    const on = `${table.name}_${names.join('_')} ON ${table.name} (${names.join(', ')})`
    database.exec(
      unique
        ? `CREATE UNIQUE INDEX IF NOT EXISTS ${on} WHERE ${names[0]} IS NOT NULL`
        : `CREATE INDEX IF NOT EXISTS ${on}`,
    )
  }
}

function checkedColumn(table: Table, field: string): string {
  table.sql(field)
  return columnOf(field)
}
