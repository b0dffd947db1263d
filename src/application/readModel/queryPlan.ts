import type { Collection } from '../../../projections/projection.ts'
import type { Condition, Query } from '../ports/documents.ts'

/**
 * How a query is answered from an index: as a few stretches of the index, each read from its start. So a page costs as
 * much as the documents on it, however many others there are. All stores read the same stretches in the same order.
 */

export type Comparison = Exclude<Condition, { any: unknown }>

/** A limit of a stretch of an index. `present` means neither null nor absent. */
export type Bound = Comparison | { field: string; op: 'present' }

export interface Plan {
  /** The fields of the index. Every index has the id behind them. */
  index: readonly string[]
  /** The conditions that compare its first fields for equality. */
  equal: readonly Comparison[]
  /** The field behind those, by which the documents are ordered; null if that is the id. */
  field: string | null
  /** Conditions on that field. */
  range: readonly Condition[]
  /** Conditions that the index cannot answer, so that each document has to be looked at. */
  filter: readonly Condition[]
  descending: boolean
}

/**
 * The plan for a page of documents in an order.
 * @throws RangeError if no index serves the query, which is a mistake in the program
 */
export function planOf(collection: Collection, where: readonly Condition[], order?: Query['order']): Plan {
  const { field = 'id', descending = false } = order === 'any' ? {} : (order ?? {})
  const isServed = (index: readonly string[]): boolean =>
    field === 'id' ? leading(index, where) === index.length : isLast(index, field, where)
  const [best] = indexesOf(collection, where)
    .filter(isServed)
    .map((index) => planBy(index, where, field === 'id' ? index.length : index.length - 1))
    .sort((a, b) => a.filter.length - b.filter.length)
  if (!best || (best.filter.length > 0 && best.equal.length === 0)) {
    throw new RangeError(`${collection.name} has no index for ${shapeOf(where)} by ${field}`)
  }
  return { ...best, descending }
}

/**
 * The plan for counting what matches.
 * @throws RangeError if no index knows all of the conditions
 */
export function countPlanOf(collection: Collection, where: readonly Condition[]): Plan {
  const plan = indexesOf(collection, where)
    .filter((index) => leading(index, where) >= index.length - 1)
    .map((index) => planBy(index, where, leading(index, where)))
    .find(({ filter }) => filter.length === 0)
  if (!plan) throw new RangeError(`${collection.name} has no index to count ${shapeOf(where)} by`)
  return plan
}

/**
 * The fields of the indexes that a query may use. An index of ids always exists; unique indexes are for look-ups only,
 * and an index without the documents that have a field is for queries that want none of those.
 */
const indexesOf = ({ indexes }: Collection, where: readonly Condition[]): (readonly string[])[] => [
  [],
  ...indexes
    .filter(({ unique, without }) => !unique && (without === undefined || where.some(isAbsenceOf(without))))
    .map(({ fields }) => fields),
]

const isAbsenceOf = (field: string) => (condition: Condition) =>
  !('any' in condition) && condition.field === field && isAbsence(condition)

/** How many of the first fields of an index are compared for equality. */
function leading(index: readonly string[], where: readonly Condition[]): number {
  const first = index.findIndex((field) => !where.some(isEqual(field)))
  return first < 0 ? index.length : first
}

const isLast = (index: readonly string[], field: string, where: readonly Condition[]): boolean =>
  index.at(-1) === field && leading(index, where) >= index.length - 1

function planBy(index: readonly string[], where: readonly Condition[], equals: number): Plan {
  const equal = index.slice(0, equals).flatMap((field) => where.find(isEqual(field)) ?? [])
  const field = index[equals] ?? null
  const rest = where.filter((condition) => !equal.includes(condition))
  const range = rest.filter((condition) => isRangeOf(field ?? 'id', condition))
  const filter = rest.filter((condition) => !range.includes(condition))
  return { index, equal: equal as Comparison[], field, range, filter, descending: false }
}

const isEqual = (field: string) => (condition: Condition) =>
  !('any' in condition) && condition.field === field && condition.op === 'eq'

export const isAbsence = (condition: Condition): boolean =>
  !('any' in condition) && condition.op === 'eq' && condition.value === null

/** Does the condition limit a stretch? `any` does if it is one comparison, or one comparison or absence. */
function isRangeOf(field: string, condition: Condition): boolean {
  if (!('any' in condition))
    return condition.field === field && condition.op !== 'contains' && condition.op !== 'in'
  const alternatives = condition.any.filter((one) => !isAbsence(one))
  return alternatives.length <= 1 && condition.any.every((one) => !('any' in one) && isRangeOf(field, one))
}

const shapeOf = (where: readonly Condition[]): string =>
  where.map((one) => ('any' in one ? `any of ${shapeOf(one.any)}` : `${one.field} ${one.op}`)).join(', ') ||
  'all'
