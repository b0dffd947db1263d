import type { Collection, Projection } from '../../../../projections/projection.ts'
import type { StoredDocument } from '../../../../projections/change.ts'
import {
  bytes,
  type Cell,
  checksum,
  type Database,
  integer,
  pagesOf,
  type SqlRow,
  toBytes,
  toText,
} from '../database/database.ts'
import { DamagedDocumentError } from '../database/errors.ts'

/**
 * A collection in one version of its projection: a table with whole documents, and with copies of the indexed fields.
 */
export interface Table {
  name: string
  collection: Collection
  /** The indexed fields. A column is written only when its field changes, so that most updates touch no index. */
  fields: readonly string[]
  /** The member that is not in the document, but in a column of its own with a checksum of its own. */
  apart: string | null
  /** The columns of a whole document, for `parse`. */
  columns: string
  /** SQL texts, made once, since they are used several times for each event. */
  statements: {
    load: string
    insert: string
    insertMany: string
    /** @param changed indexes of the changed fields in `fields` */
    update(changed: readonly number[]): string
    /** Sets the member that is apart, whatever it was. */
    setApart: string
    /** Raises the member that is apart, of some documents, and makes those that are missing. */
    raiseApart(documents: number): string
  }
  /** The SQL expression for a field. */
  sql(field: string): string
  indexName(fields: readonly string[]): string
  /** @param row with `columns`. @throws DamagedError if it is not what was written */
  parse(row: SqlRow): [id: string, document: StoredDocument]
}

export interface Collections {
  /** Opens tables, and makes as much as `make` says. Making indexes later, all at once, is faster. */
  open(projections: readonly Projection[], make: 'with indexes' | 'with ids' | 'tables' | 'not'): void
  /** Drops the unique indexes, except for those of ids. */
  dropUnique(projections: readonly Projection[]): void
  /** @throws RangeError if no opened projection has such a collection, which is a mistake in the program */
  table(collection: string): Table
}

const NAME = /^[A-Za-z][A-Za-z0-9]*$/
const FIELD = /^[A-Za-z][A-Za-z0-9.]*$/

/** The checksum of the member that is apart, and of the id. */
const APART_CRC = 'apart_crc'
/** A document of which only the member that is apart is known. */
export const EMPTY = '{}'

/** A document as one text. */
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
              if (make !== 'tables') createIdIndex(database, table)
              if (make === 'with indexes') createIndexes(database, table)
            })
          }
          tables.set(collection.name, table)
        }
      }
    },
    dropUnique(projections) {
      for (const { version, collections } of projections) {
        for (const collection of collections) {
          const table = tableOf(collection, version)
          for (const { fields, unique } of collection.indexes)
            if (unique) database.exec(`DROP INDEX IF EXISTS ${indexName(table, fields)}`)
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

/** A document with what its guards need; null if there is none. */
export function load(database: Database, table: Table, id: string): StoredDocument | null {
  const row = database.prepare(table.statements.load).get(id)
  if (!row) return null
  const [found, document] = table.parse(row)
  if (found !== id) damaged(table.name, id)
  return document
}

/** How many rows `insertMany` inserts. A call costs about as much as a row. */
export const ROWS_AT_ONCE = 20

const IDS_AT_ONCE = 5_000

/** All ids, in no particular order. It needs no index. */
export function* idsOf(database: Database, { name }: Table): Generator<string> {
  for (const rows of pagesOf(database, name, bytes('id'), IDS_AT_ONCE))
    for (const { idBytes } of rows) yield toText(idBytes)
}

/**
 * The value at a dotted path as SQL has it: null if there is none, numbers for booleans, JSON for arrays and objects.
 */
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

function tableOf(collection: Collection, version: number): Table {
  const { name, indexes } = collection
  if (!NAME.test(name)) throw new RangeError(`'${name}' is no collection name`)
  if (!Number.isSafeInteger(version) || version < 0) throw new RangeError(`${version} is no version`)
  const { apart = null } = collection
  const indexed = [...new Set(indexes.flatMap((index) => index.fields))]
  const fields = indexed.filter((field) => field !== 'id' && field !== apart)
  if (apart !== null && !indexed.includes(apart)) throw new RangeError(`no index has '${apart}'`)
  const table = `${name}_v${version}`
  const columns =
    apart === null ? DOCUMENT : `${DOCUMENT}, ${bytes(columnOf(apart), 'apart')}, ${integer(APART_CRC)}`
  return {
    name: table,
    collection,
    fields,
    apart,
    columns,
    statements: statementsOf(table, columns, fields.map(columnOf), apart && columnOf(apart)),
    sql(field) {
      if (!FIELD.test(field)) throw new RangeError(`'${field}' is no field name`)
      if (field === 'id') return 'id'
      return indexed.includes(field) ? columnOf(field) : `json_extract(doc, '$.${field}')`
    },
    indexName: (names) => [table, ...names.map(columnOf), 'id'].join('_'),
    parse(row) {
      const [id, doc] = [toText(row.idBytes), toBytes(row.docBytes)]
      if (row.crc !== checksum(id, doc)) damaged(name, id)
      const document = parsed(doc) ?? damaged(name, id)
      if (apart === null || (row.apartBytes === null && row[APART_CRC] === null)) return [id, document]
      const value = toText(row.apartBytes)
      if (row[APART_CRC] !== checksum(id, value)) damaged(name, id)
      return [id, { ...document, [apart]: value }]
    },
  }
}

function damaged(table: string, id: string): never {
  throw new DamagedDocumentError(`${table}: the document '${id}' is damaged`)
}

/** Null if the text is no document. That has to be checked, since a checksum can be forged. */
function parsed(doc: Buffer): StoredDocument | null {
  try {
    const document: unknown = JSON.parse(doc.toString('utf8'))
    return typeof document === 'object' && !Array.isArray(document)
      ? (document as StoredDocument | null)
      : null
  } catch {
    return null
  }
}

function statementsOf(
  table: string,
  selected: string,
  columns: string[],
  apart: string | null,
): Table['statements'] {
  const ofApart = apart === null ? [] : [apart, APART_CRC]
  const all = ['doc', 'crc', ...columns, ...ofApart, 'id']
  const insert = `INSERT INTO ${table} (${all.join(', ')}) VALUES `
  const row = `(${all.map(() => '?').join(', ')})`
  const updates = new Map<string, string>()

  function update(changed: readonly number[]): string {
    const key = changed.join()
    const known = updates.get(key)
    if (known !== undefined) return known
    // Only these columns are set, since SQLite updates every index that contains a column which is set.
    const set = ['doc', 'crc', ...changed.map((i) => columns[i])].map((name) => `${name} = ?`)
    const made = `UPDATE ${table} SET ${set.join(', ')} WHERE id = ?`
    updates.set(key, made)
    return made
  }

  return {
    setApart: `UPDATE ${table} SET ${apart} = ?, ${APART_CRC} = ? WHERE id = ?`,
    raiseApart: (documents) =>
      `INSERT INTO ${table} (id, doc, crc, ${apart}, ${APART_CRC})
         VALUES ${Array.from({ length: documents }, () => `(?, '${EMPTY}', ?, ?, ?)`).join(', ')}
         ON CONFLICT (id) DO UPDATE SET ${apart} = excluded.${apart}, ${APART_CRC} = excluded.${APART_CRC}
         WHERE ${apart} IS NULL OR ${apart} < excluded.${apart}`,
    load: `SELECT ${selected} FROM ${table} WHERE id = ?`,
    update,
    insert: insert + row,
    insertMany: insert + Array.from({ length: ROWS_AT_ONCE }, () => row).join(', '),
  }
}

// The table has rowids, so that the large rows are not in the tree of ids: that makes an update three times as fast.
// The tree of ids is then an index like the others, which can be made last.
function createTable(database: Database, table: Table): void {
  const apart =
    table.apart === null ? [] : [`${checkedColumn(table, table.apart)} TEXT`, `${APART_CRC} INTEGER`]
  const columns = [...table.fields.map((field) => `${checkedColumn(table, field)} ANY`), ...apart]
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${table.name}
       (id TEXT NOT NULL, doc TEXT NOT NULL, ${['crc INTEGER NOT NULL', ...columns].join(', ')}) STRICT`,
  )
}

function createIdIndex(database: Database, table: Table): void {
  database.exec(`CREATE UNIQUE INDEX IF NOT EXISTS ${table.indexName([])} ON ${table.name} (id)`)
}

function createIndexes(database: Database, table: Table): void {
  for (const { fields, unique = false, sparse = false, without } of table.collection.indexes) {
    const names = fields.map(table.sql)
    const columns = unique ? names : [...names, 'id']
    const having = unique || sparse ? ` WHERE ${names.at(-1)} IS NOT NULL` : ''
    const partial = without === undefined ? having : ` WHERE ${table.sql(without)} IS NULL`
    database.exec(
      `CREATE ${unique ? 'UNIQUE ' : ''}INDEX IF NOT EXISTS ${table.indexName(fields)}
         ON ${table.name} (${columns.join(', ')})${partial}`,
    )
  }
}

const indexName = (table: Table, fields: readonly string[]): string =>
  `${table.name}_${fields.map(table.sql).join('_')}`

function checkedColumn(table: Table, field: string): string {
  table.sql(field)
  return columnOf(field)
}
