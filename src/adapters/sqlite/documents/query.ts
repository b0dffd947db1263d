import { present } from '../../../../projections/change.ts'
import type { Condition, Document } from '../../../application/ports/documents.ts'
import type { Bound } from '../../../application/readModel/queryPlan.ts'
import type { Counted, Read } from '../../../application/readModel/readStretches.ts'
import type { Key } from '../../../application/readModel/order.ts'
import type { Stretch } from '../../../application/readModel/stretches.ts'
import { giveWay } from '../../../application/scheduling/turns.ts'
import { DamagedError } from '../../../domain/errors.ts'
import { cellAt, type Table, toCell } from './collections.ts'
import { bytes, type Cell, type Database, type SqlRow, toText } from '../database/database.ts'

/** A piece of SQL, and the values of its parameters in order. Values are never part of the text. */
export interface Sql {
  text: string
  values: Cell[]
}

type Comparison = Exclude<Condition, { any: unknown }>

const OPERATORS = { lt: '<', lte: '<=', gt: '>', gte: '>=' } as const

/** Gives the SQL expression for a field. */
type Naming = (field: string) => string

/** The driver blocks the event loop while it reads; this many rows take a millisecond or two. */
const ROWS_AT_ONCE = 100
/** How many rows are looked at in one read if most of them may not match. */
const LOOKED_AT_ONCE = 500
const COUNTED_AT_ONCE = 5_000

function whereSql(conditions: readonly (Condition | Bound)[], name: Naming): Sql {
  const parts = conditions.map((condition) => conditionSql(condition, name))
  return {
    text: parts.map((part) => part.text).join(' AND ') || '1',
    values: parts.flatMap((part) => part.values),
  }
}

/** Where to read. It has to be asked for again whenever a query has given way, since another file may be live then. */
export interface Source {
  database: Database
  table: Table
}

/** Finds documents, in no particular order. */
export function findAny({ database, table }: Source, where: readonly Condition[], limit: number): Document[] {
  const { text, values } = whereSql(where, table.sql)
  const rows = database.prepare(`SELECT ${table.columns} FROM ${table.name} WHERE ${text} LIMIT ?`)
  return rows.all(...values, limit).map((row) => documentOf(table, row, where))
}

/**
 * As `findAny`, with these members only. SQLite takes them out of the documents, so no checksum is looked at. All rows
 * come as one text, since each row by itself would cost a call of the driver.
 */
export function findNumbers(
  { database, table }: Source,
  where: readonly Condition[],
  numbers: readonly string[],
  limit: number,
): Document[] {
  const { text, values } = whereSql(where, table.sql)
  const columns = ['CAST(id AS TEXT)', ...numbers.map((field) => `CAST(${table.sql(field)} AS INTEGER)`)]
  const rows = database.prepare(
    `SELECT ${bytes('group_concat(found)', 'found')}
     FROM (SELECT json_array(${columns.join(', ')}) AS found FROM ${table.name} WHERE ${text} LIMIT ?)`,
  )
  const found = `[${toText(rows.get(...values, limit)?.foundBytes)}]`
  return (JSON.parse(found) as [string, ...number[]][]).map(([id, ...members]) => ({
    id,
    ...Object.fromEntries(numbers.map((field, i) => [field, members[i]])),
  }))
}

/** Reads from the start of a stretch. */
export async function readStretch(
  source: () => Source,
  stretch: Stretch,
  atMost: number,
  signal?: AbortSignal,
): Promise<Read> {
  const pause = giveWay(signal)
  if (pause) await pause
  const from = source()
  const { equal, range, filter } = stretch.plan
  const size = Math.min(atMost, ROWS_AT_ONCE)
  const rows = filter.length > 0 ? some(from, stretch, size) : all(from, stretch, size)
  const lastRow = rows.length === size ? rows.at(-1) : undefined
  const end = filter.length > 0 ? keyAt(from, stretch, LOOKED_AT_ONCE) : null
  const documents: Document[] = []
  for (const row of rows) {
    const another = giveWay(signal)
    if (another) await another
    documents.push(documentOf(from.table, row, [...equal, ...range, ...filter]))
  }
  return { documents, last: lastRow ? keyOf(lastRow) : end }
}

function all({ database, table }: Source, stretch: Stretch, size: number): SqlRow[] {
  const { text, values } = stretchSql(table, stretch, `${table.columns}, ${valueSql(table, stretch)}`)
  return database.prepare(`${text} LIMIT ?`).all(...values, size)
}

/** The filter comes behind a limit: without it, SQLite would go on until it has found enough matches. */
function some({ database, table }: Source, stretch: Stretch, size: number): SqlRow[] {
  const { text, values } = stretchSql(table, stretch, '*')
  const filter = whereSql(stretch.plan.filter, table.sql)
  return database
    .prepare(
      `SELECT ${table.columns}, ${valueSql(table, stretch)} FROM (${text} LIMIT ${LOOKED_AT_ONCE})
       WHERE ${filter.text} LIMIT ?`,
    )
    .all(...values, ...filter.values, size)
}

/** Counts from the start of a stretch. */
export async function countStretch(
  source: () => Source,
  stretch: Stretch,
  atMost: number,
  signal?: AbortSignal,
): Promise<Counted> {
  const pause = giveWay(signal)
  if (pause) await pause
  const { database, table } = source()
  const size = Math.min(atMost, COUNTED_AT_ONCE)
  const { text, values } = stretchSql(table, stretch, '1')
  const sql = `SELECT count(*) AS n FROM (${text} LIMIT ?)`
  const count = Number(database.prepare(sql).get(...values, size)?.n)
  const isEnd = count < size || count === atMost
  return { count, last: isEnd ? null : keyAt({ database, table }, stretch, size) }
}

/** The key of the nth document of a stretch, from 1 on; null if it has fewer. */
function keyAt({ database, table }: Source, stretch: Stretch, n: number): Key | null {
  const { text, values } = stretchSql(table, stretch, `${bytes('id')}, ${valueSql(table, stretch)}`)
  const row = database.prepare(`${text} LIMIT 1 OFFSET ?`).get(...values, n - 1)
  return row ? keyOf(row) : null
}

/** Names the index, so that the choice does not depend on what SQLite assumes about the data. */
function stretchSql(table: Table, { plan, bounds, by, descending }: Stretch, columns: string): Sql {
  const where = bounds.length > 0 ? whereSql(bounds, table.sql) : ALL
  const direction = descending ? 'DESC' : 'ASC'
  const order = by === 'field' && plan.field !== null ? [table.sql(plan.field), 'id'] : ['id']
  return {
    text: `SELECT ${columns}
      FROM ${table.name} INDEXED BY ${table.indexName(plan.index)} WHERE ${where.text}
      ORDER BY ${order.map((name) => `${name} ${direction}`).join(', ')}`,
    values: where.values,
  }
}

/** All rows, written as a bound, so that SQLite searches the index as for any other query. */
const ALL: Sql = { text: "id >= ''", values: [] }

function valueSql(table: Table, { plan }: Stretch): string {
  const field = table.sql(plan.field ?? 'id')
  return `CASE typeof(${field}) WHEN 'text' THEN CAST(${field} AS BLOB) ELSE ${field} END AS value`
}

const keyOf = ({ idBytes, value }: SqlRow): Key => ({
  value: typeof value === 'number' || value === null ? value : toText(value),
  id: toText(idBytes),
})

function documentOf(table: Table, row: SqlRow, where: readonly Condition[]): Document {
  const document = present<Document>(...table.parse(row))
  if (!isMatch(document, where)) throw new DamagedError(`${table.name}: an index is damaged`)
  return document
}

/** Does the document match the index by which it was found? The document's checksum does not cover the index. */
const isMatch = (document: Document, where: readonly Condition[]): boolean =>
  where.every(
    (condition) =>
      'any' in condition ||
      condition.op !== 'eq' ||
      cellAt(document, condition.field) === toCell(condition.value),
  )

function conditionSql(condition: Condition | Bound, name: Naming): Sql {
  if (!('any' in condition)) return comparisonSql(condition, name(condition.field))
  const parts = condition.any.map((part) => conditionSql(part, name))
  const text = parts.map((part) => part.text).join(' OR ') || '0'
  return { text: `(${text})`, values: parts.flatMap((part) => part.values) }
}

function comparisonSql(condition: Comparison | Bound, field: string): Sql {
  switch (condition.op) {
    case 'eq':
      return condition.value === null
        ? { text: `${field} IS NULL`, values: [] }
        : { text: `${field} = ?`, values: [toCell(condition.value)] }
    case 'present':
      // In an index nulls come first, then numbers, then texts. So this skips the nulls.
      return { text: `${field} >= -1e999`, values: [] }
    case 'contains':
      return { text: `instr(${field}, ?) > 0`, values: [condition.value] }
    case 'in':
      return {
        text: `${field} IN (SELECT value FROM json_each(?))`,
        values: [JSON.stringify(condition.value)],
      }
    default:
      // In SQL a comparison with null is null, and so not true: a document without the field never matches.
      return { text: `${field} ${OPERATORS[condition.op]} ?`, values: [toCell(condition.value)] }
  }
}
