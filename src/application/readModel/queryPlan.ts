import type { Collection } from '../../../projections/projection.ts'
import type { Condition, Query } from '../ports/documents.ts'

/**
 * How a query is answered from an index: as a few stretches of it, each read from one end to the other, so that a page
 * costs what is on it however many documents there are. Which stretches, and in which order, is the same for all stores.
 */

export type Comparison = Exclude<Condition, { any: unknown }>

/** What a stretch of an index is limited by. `present`: neither null nor absent. */
export type Bound = Comparison | { field: string; op: 'present' }

export interface Plan {
  /** Fields of the index; behind them every index has the id. */
  index: readonly string[]
  /** Conditions that its first fields are equal to something. */
  equal: readonly Comparison[]
  /** The field behind those, which the documents are in order of; null: the id. */
  field: string | null
  /** Conditions on that field. */
  range: readonly Condition[]
  /** Conditions that the index does not know: each document in between has to be looked at. */
  filter: readonly Condition[]
  descending: boolean
}

/**
 * The plan for a page of documents in an order.
 * @throws RangeError no index serves it: a mistake in the program
 */
export function planOf(collection: Collection, where: readonly Condition[], order?: Query['order']): Plan {
  const { field = 'id', descending = false } = order === 'any' ? {} : (order ?? {})
  const isServed = (index: readonly string[]): boolean =>
    field === 'id' ? leading(index, where) === index.length : isLast(index, field, where)
  const [best] = indexesOf(collection)
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
 * @throws RangeError no index knows all of the conditions
 */
export function countPlanOf(collection: Collection, where: readonly Condition[]): Plan {
  const plan = indexesOf(collection)
    .filter((index) => leading(index, where) >= index.length - 1)
    .map((index) => planBy(index, where, leading(index, where)))
    .find(({ filter }) => filter.length === 0)
  if (!plan) throw new RangeError(`${collection.name} has no index to count ${shapeOf(where)} by`)
  return plan
}

/** That of the ids is there without being asked for. Unique ones are for look-ups. */
const indexesOf = ({ indexes }: Collection): (readonly string[])[] => [
  [],
  ...indexes.filter(({ unique }) => !unique).map(({ fields }) => fields),
]

/** How many of its first fields are equal to something. */
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

/** Does it say where a stretch begins and ends? Of several alternatives one may, the other being that it is absent. */
function isRangeOf(field: string, condition: Condition): boolean {
  if (!('any' in condition))
    return condition.field === field && condition.op !== 'contains' && condition.op !== 'in'
  const alternatives = condition.any.filter((one) => !isAbsence(one))
  return alternatives.length <= 1 && condition.any.every((one) => !('any' in one) && isRangeOf(field, one))
}

const shapeOf = (where: readonly Condition[]): string =>
  where.map((one) => ('any' in one ? `any of ${shapeOf(one.any)}` : `${one.field} ${one.op}`)).join(', ') ||
  'all'
