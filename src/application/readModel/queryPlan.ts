import type { Collection } from '../../../projections/projection.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { Condition, Document, Query, Scalar } from '../ports/documents.ts'

/**
 * How a query is answered from an index: as a few stretches of it, each read from one end to the other, so that a page
 * costs what is on it however many documents there are. Which stretches, and in which order, is the same for all stores.
 */

type Comparison = Exclude<Condition, { any: unknown }>

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

/** Documents that lie next to each other in an index, in the order of `by`. */
export interface Stretch {
  plan: Plan
  bounds: readonly Bound[]
  /** `field`: by that and then by id. `id`: by id, since the field has one value all along, or there is none. */
  by: 'field' | 'id'
  descending: boolean
}

export interface Key {
  value: Scalar
  id: string
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

const isAbsence = (condition: Condition): boolean =>
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

// --- The stretches -------------------------------------------------------------------------------------------

/** What of an index holds the documents behind `after`, in their order. */
function stretchesOf(plan: Plan, after: Key | null): Stretch[] {
  const { field } = plan
  if (field === null) return between(plan, after === null ? [] : [beyond(plan, 'id', after.id)], 'id')
  const absent = (behind: readonly Bound[]): Stretch[] =>
    mayBeAbsent(plan) ? [byId(plan, { field, op: 'eq', value: null }, behind)] : []
  if (after === null) return [...between(plan, [], 'field'), ...absent([])]
  if (after.value === null) return absent([idBeyond(after)])
  return [...stretchesFrom(plan, after), ...absent([])]
}

/** What is left of a stretch of which all up to `last` was looked at. */
function restOf({ plan, bounds, by, descending }: Stretch, last: Key): Stretch[] {
  if (plan.field === null) return stretchesOf(plan, last)
  if (by === 'field') return stretchesFrom(plan, last, descending)
  const others = bounds.filter((bound) => bound.field !== 'id')
  return [{ plan, bounds: [...others, idBeyond(last)], by, descending }]
}

/** Documents with the value of a key that come behind it, or all of them, and what comes behind that value. */
function stretchesFrom(plan: Plan, key: Key, withAll = false): Stretch[] {
  const field = plan.field ?? 'id'
  const isWithin = presentIn(plan.range)?.every((comparison) => holds(comparison, key.value)) ?? false
  const equals = byId(plan, { field, op: 'eq', value: key.value }, withAll ? [] : [idBeyond(key)])
  return [...(isWithin ? [equals] : []), ...between(plan, [beyond(plan, field, key.value)], 'field')]
}

const byId = (plan: Plan, value: Bound, behind: readonly Bound[]): Stretch => ({
  plan,
  bounds: [...plan.equal, value, ...behind],
  by: 'id',
  descending: false,
})

const idBeyond = ({ id }: Key): Comparison => ({ field: 'id', op: 'gt', value: id })

const beyond = ({ descending }: Plan, field: string, value: Scalar): Comparison => ({
  field,
  op: descending ? 'lt' : 'gt',
  value,
})

/** The documents that have the field, within the plan's range and some more comparisons. */
function between(plan: Plan, more: readonly Comparison[], by: 'field' | 'id'): Stretch[] {
  const range = presentIn(plan.range)
  if (range === null) return []
  const bounds = [...plan.equal, ...tightest(plan.field ?? 'id', [...range, ...more])]
  return [{ plan, bounds, by, descending: plan.descending }]
}

const mayBeAbsent = ({ range }: Plan): boolean =>
  range.every((condition) => ('any' in condition ? condition.any.some(isAbsence) : isAbsence(condition)))

/** The same conditions for documents that have the field; null: none of those can match. */
function presentIn(range: readonly Condition[]): Comparison[] | null {
  const comparisons: Comparison[] = []
  for (const condition of range) {
    const [one] = 'any' in condition ? condition.any.filter((each) => !isAbsence(each)) : [condition]
    if (!one || 'any' in one || one.value === null) return null
    comparisons.push(one)
  }
  return comparisons
}

/** One lower and one upper bound at the most: given two, a store may begin to read at the one that is further away. */
function tightest(field: string, comparisons: readonly Comparison[]): Bound[] {
  const best = (ops: readonly string[], sign: 1 | -1): Comparison[] => {
    const those = comparisons.filter(({ op }) => ops.includes(op))
    const [first] = those.sort(
      (a, b) => sign * compareScalars(a.value as Scalar, b.value as Scalar) || a.op.length - b.op.length,
    )
    return first ? [first] : []
  }
  const bounds = [...best(['eq'], 1), ...best(['gt', 'gte'], -1), ...best(['lt', 'lte'], 1)]
  return bounds.some(({ op }) => op !== 'lt' && op !== 'lte') || field === 'id'
    ? bounds
    : [{ field, op: 'present' }, ...bounds]
}

function holds({ op, value }: Comparison, found: Scalar): boolean {
  const order = compareScalars(found, value as Scalar)
  if (op === 'eq') return order === 0
  if (op === 'gt' || op === 'gte') return order > 0 || (order === 0 && op === 'gte')
  return order < 0 || (order === 0 && op === 'lte')
}

/** The order of a query, for documents that were read by another one. */
export function compareBy({
  field,
  descending = false,
}: {
  field: string
  descending?: boolean
}): (a: Record<string, unknown>, b: Record<string, unknown>) => number {
  return (a, b) => {
    const [x, y] = [a, b].map((each) => (each[field] as Scalar | undefined) ?? null) as [Scalar, Scalar]
    if (x === null || y === null)
      return x === y ? compareScalars(String(a.id), String(b.id)) : x === null ? 1 : -1
    return compareScalars(x, y) * (descending ? -1 : 1) || compareScalars(String(a.id), String(b.id))
  }
}

/** As the stores order values: null, numbers, texts by their code points. */
function compareScalars(a: Scalar, b: Scalar): number {
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b)
  if (typeof a === 'string' || typeof b === 'string') return typeof a === 'string' ? 1 : -1
  const [x, y] = [a, b].map((each) => (each === null ? Number.NEGATIVE_INFINITY : Number(each)))
  return x === y ? 0 : Number(x) - Number(y)
}

function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x !== y) return rank(x) - rank(y)
  }
  return a.length - b.length
}

/** Half of a pair stands for a code point beyond all that have one unit to themselves. */
const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit)

// --- A page of them ------------------------------------------------------------------------------------------

export interface Read {
  documents: Document[]
  /** The last one that was looked at; null: the stretch ends there. */
  last: Key | null
}

/**
 * Reads stretch after stretch until the page is full.
 * @param read some of a stretch from its start on, no more documents than it is asked for
 * @throws DamagedError the index does not lead on
 */
export async function readPage(
  plan: Plan,
  { after = null, limit }: { after?: Key | null; limit: number },
  read: (stretch: Stretch, atMost: number) => Promise<Read>,
): Promise<Document[]> {
  const found = new Map<string, Document>()
  let left = stretchesOf(plan, after)
  const before: Record<Stretch['by'], Key | null> = { field: null, id: null }
  for (let [stretch] = left; stretch && found.size < limit; [stretch] = left) {
    const isBackward = stretch.by === 'field' && stretch.descending
    const { documents, last } = await read(stretch, limit - found.size + (isBackward ? 1 : 0))
    for (const document of isBackward ? tiesById(plan, documents, last) : documents) {
      found.set(document.id, document)
    }
    if (last && !leadsOn(stretch, before[stretch.by], last))
      throw new DamagedError('an index is damaged: it does not lead on')
    before[stretch.by] = last ?? before[stretch.by]
    if (stretch.by === 'field' || !last) before.id = null
    left = [...(last ? restOf(stretch, last) : []), ...left.slice(1)]
  }
  return [...found.values()].slice(0, limit)
}

export interface Counted {
  count: number
  /** The last one that was counted; null: the stretch ends there, or no more are asked for. */
  last: Key | null
}

/** Counts stretch after stretch. @param count some of a stretch from its start on, as far as it is asked to */
export async function countAll(
  plan: Plan,
  limit: number,
  count: (stretch: Stretch, atMost: number) => Promise<Counted>,
): Promise<number> {
  let total = 0
  let left = stretchesOf(plan, null)
  for (let [stretch] = left; stretch && total < limit; [stretch] = left) {
    const { count: some, last } = await count(stretch, limit - total)
    total += some
    left = [...(last ? restOf(stretch, last) : []), ...left.slice(1)]
  }
  return total
}

/** Back in an index ids go back as well, but ties are by id ascending: those of the last value are left to be read anew. */
function tiesById({ field }: Plan, documents: readonly Document[], last: Key | null): Document[] {
  const valueOf = (document: Document): Scalar => (document[field ?? 'id'] as Scalar | undefined) ?? null
  const whole = documents.filter((document) => last === null || valueOf(document) !== last.value)
  return whole.sort((a, b) => compareScalars(valueOf(b), valueOf(a)) || compareScalars(a.id, b.id))
}

/** An index in which it goes back would be read for ever. */
function leadsOn({ by, descending }: Stretch, before: Key | null, last: Key): boolean {
  if (!before) return true
  const values = by === 'id' ? 0 : compareScalars(last.value, before.value)
  const order = values || compareScalars(last.id, before.id)
  return descending ? order < 0 : order > 0
}
