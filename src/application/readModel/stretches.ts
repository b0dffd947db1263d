import type { Condition, Scalar } from '../ports/documents.ts'
import { compareScalars, type Key } from './order.ts'
import { type Bound, type Comparison, isAbsence, type Plan } from './queryPlan.ts'

/** Documents that lie next to each other in an index, in the order of `by`. */
export interface Stretch {
  plan: Plan
  bounds: readonly Bound[]
  /**
   * `field`: by the plan's field and then by id. `id`: by id alone, since the field has only one value here, or is
   * null.
   */
  by: 'field' | 'id'
  descending: boolean
}

/** The stretches of an index that hold the documents behind `after`, in order. */
export function stretchesOf(plan: Plan, after: Key | null): Stretch[] {
  const { field } = plan
  if (field === null) return between(plan, after === null ? [] : [beyond(plan, 'id', after.id)], 'id')
  const absent = (behind: readonly Bound[]): Stretch[] =>
    mayBeAbsent(plan) ? [byId(plan, { field, op: 'eq', value: null }, behind)] : []
  if (after === null) return [...between(plan, [], 'field'), ...absent([])]
  if (after.value === null) return absent([idBeyond(after)])
  return [...stretchesFrom(plan, after), ...absent([])]
}

/** The stretches that are left of one that has been read up to `last`. */
export function restOf({ plan, bounds, by, descending }: Stretch, last: Key): Stretch[] {
  if (plan.field === null) return stretchesOf(plan, last)
  if (by === 'field') return stretchesFrom(plan, last, descending)
  const others = bounds.filter((bound) => bound.field !== 'id')
  return [{ plan, bounds: [...others, idBeyond(last)], by, descending }]
}

/** The documents with the same value as a key, all of them or those behind it, and then all that have a later value. */
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

/** The documents that have the field, limited by the plan's range and by more comparisons. */
function between(plan: Plan, more: readonly Comparison[], by: 'field' | 'id'): Stretch[] {
  const range = presentIn(plan.range)
  if (range === null) return []
  const bounds = [...plan.equal, ...tightest(plan.field ?? 'id', [...range, ...more])]
  return [{ plan, bounds, by, descending: plan.descending }]
}

const mayBeAbsent = ({ range }: Plan): boolean =>
  range.every((condition) => ('any' in condition ? condition.any.some(isAbsence) : isAbsence(condition)))

/** The same conditions, for documents that have the field; null if no such document can match. */
function presentIn(range: readonly Condition[]): Comparison[] | null {
  const comparisons: Comparison[] = []
  for (const condition of range) {
    const [one] = 'any' in condition ? condition.any.filter((each) => !isAbsence(each)) : [condition]
    if (!one || 'any' in one || one.value === null) return null
    comparisons.push(one)
  }
  return comparisons
}

/** At most one lower and one upper bound: if there were two, a store might start reading at the wider one. */
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
