import type { Document, Filter, Sort } from 'mongodb'
import type { Condition, Query } from '../../application/ports.ts'
import type { StoredDocument } from './collections.ts'
import { pathOf } from './names.ts'

type Comparison = Exclude<Condition, { any: unknown }>

export interface Part {
  filter: Filter<StoredDocument>
  sort: Sort
}

const NOTHING: Document = { _id: { $in: [] } }
const EVERYTHING: Document = {}

export const filterOf = (conditions: readonly Condition[]): Filter<StoredDocument> =>
  allOf(conditions.map(filterOne))

/**
 * The query as one or two parts, to be asked in turn until `limit` is reached: documents that have the ordering
 * field, then those without, so that each part can follow an index and continue behind a key.
 */
export function partsOf({ where, order, after }: Query): Part[] {
  const filter = filterOf(where)
  const direction = order?.descending ? -1 : 1
  const beyond = order?.descending ? '$lt' : '$gt'
  const part = (condition: Document, sort: Sort): Part => ({ filter: allOf([filter, condition]), sort })

  if (!order || order.field === 'id') {
    return [part(after ? { _id: { [beyond]: after.id } } : EVERYTHING, { _id: direction })]
  }
  const field = pathOf(order.field)
  const absent = (condition: Document): Part => part(allOf([{ [field]: null }, condition]), { _id: 1 })
  const ordering: Sort = { [field]: direction, _id: 1 }
  if (!after) return [part({ [field]: { $ne: null } }, ordering), absent(EVERYTHING)]
  if (after.value === null) return [absent({ _id: { $gt: after.id } })]
  const behind = {
    // Implied by the alternatives; it is what an index can start from.
    [field]: { [`${beyond}e`]: after.value },
    $or: [{ [field]: { [beyond]: after.value } }, { [field]: after.value, _id: { $gt: after.id } }],
  }
  return [part(behind, ordering), absent(EVERYTHING)]
}

function filterOne(condition: Condition): Document {
  if (!('any' in condition)) return comparison(condition)
  return condition.any.length > 0 ? { $or: condition.any.map(filterOne) } : NOTHING
}

function comparison(condition: Comparison): Document {
  const field = pathOf(condition.field)
  switch (condition.op) {
    case 'eq':
      return { [field]: { $eq: condition.value } }
    case 'in':
      return { [field]: { $in: condition.value } }
    case 'contains': {
      // By bytes: a pattern would have to be escaped, and cannot hold a NUL.
      const text = { $cond: [{ $eq: [{ $type: `$${field}` }, 'string'] }, `$${field}`, null] }
      return { $expr: { $gte: [{ $indexOfBytes: [text, { $literal: condition.value }] }, 0] } }
    }
    default:
      // A document without the field is behind nothing and before nothing.
      return condition.value === null ? NOTHING : { [field]: { [`$${condition.op}`]: condition.value } }
  }
}

function allOf(conditions: readonly Document[]): Document {
  const [first = EVERYTHING, ...others] = conditions.filter((condition) => condition !== EVERYTHING)
  return others.length > 0 ? { $and: [first, ...others] } : first
}
