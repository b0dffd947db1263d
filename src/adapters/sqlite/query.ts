import type { Condition, Query } from '../../application/ports.ts'
import { cellAt, toCell } from './collections.ts'
import type { Cell } from './database.ts'

/** A piece of SQL and the values of its parameters, in order. Values are never part of the text. */
export interface Sql {
  text: string
  values: Cell[]
}

type Comparison = Exclude<Condition, { any: unknown }>

const OPERATORS = { lt: '<', lte: '<=', gt: '>', gte: '>=' } as const

/** How a field is named in SQL. */
type Naming = (field: string) => string

export function whereSql(conditions: readonly Condition[], name: Naming): Sql {
  const parts = conditions.map((condition) => conditionSql(condition, name))
  return {
    text: parts.map((part) => part.text).join(' AND ') || '1',
    values: parts.flatMap((part) => part.values),
  }
}

/**
 * The query as one or two parts, to be asked in turn until `limit` is reached: documents that have the ordering
 * field, then those without, so that each part can follow an index and continue behind a key.
 */
export function pageSql({ where, order, after }: Query, name: Naming): Sql[] {
  const filter = whereSql(where, name)
  const part = (condition: string, values: Cell[], ordering: string): Sql => ({
    text: `(${filter.text}) AND ${condition} ORDER BY ${ordering}`,
    values: [...filter.values, ...values],
  })
  const direction = order?.descending ? 'DESC' : 'ASC'
  const beyond = order?.descending ? '<' : '>'

  if (!order || order.field === 'id') {
    return [after ? part(`id ${beyond} ?`, [after.id], `id ${direction}`) : part('1', [], `id ${direction}`)]
  }
  const field = name(order.field)
  const absent = (condition: string, values: Cell[]): Sql =>
    part(`${field} IS NULL AND ${condition}`, values, 'id ASC')
  const ordering = `${field} ${direction}, id ASC`
  if (!after) return [part(`${field} IS NOT NULL`, [], ordering), absent('1', [])]
  if (after.value === null) return [absent('id > ?', [after.id])]
  const value = toCell(after.value)
  // The first comparison is implied by the second; it is what an index can start from.
  const behind = `${field} ${beyond}= ? AND (${field} ${beyond} ? OR id > ?)`
  return [part(behind, [value, value, after.id], ordering), absent('1', [])]
}

/** Has the document what it was found by? It was found by an index, which knows nothing of the document's checksum. */
export const isMatch = (document: Record<string, unknown>, where: readonly Condition[]): boolean =>
  where.every(
    (condition) =>
      'any' in condition ||
      condition.op !== 'eq' ||
      cellAt(document, condition.field) === toCell(condition.value),
  )

function conditionSql(condition: Condition, name: Naming): Sql {
  if (!('any' in condition)) return comparisonSql(condition, name(condition.field))
  const parts = condition.any.map((part) => conditionSql(part, name))
  const text = parts.map((part) => part.text).join(' OR ') || '0'
  return { text: `(${text})`, values: parts.flatMap((part) => part.values) }
}

function comparisonSql(condition: Comparison, field: string): Sql {
  switch (condition.op) {
    case 'eq':
      return condition.value === null
        ? { text: `${field} IS NULL`, values: [] }
        : { text: `${field} = ?`, values: [toCell(condition.value)] }
    case 'contains':
      return { text: `instr(${field}, ?) > 0`, values: [condition.value] }
    case 'in':
      return {
        text: `${field} IN (SELECT value FROM json_each(?))`,
        values: [JSON.stringify(condition.value)],
      }
    default:
      // Comparing with null is null in SQL, which is not true: a document without the field never matches.
      return { text: `${field} ${OPERATORS[condition.op]} ?`, values: [toCell(condition.value)] }
  }
}
