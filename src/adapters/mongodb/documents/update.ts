import type { AnyBulkWriteOperation, Document } from 'mongodb'
import type { DocumentChange, Top, Value } from '../../../../projections/projection.ts'
import type { StoredDocument, Target } from './collections.ts'
import { pathOf } from './names.ts'

type Put = Extract<DocumentChange, { kind: 'put' }>
type Add = Extract<DocumentChange, { kind: 'add' }>
type Total = Extract<DocumentChange, { kind: 'total' }>
type Replace = Extract<DocumentChange, { kind: 'replace' }>
export type Operation = AnyBulkWriteOperation<StoredDocument>

/**
 * A change as one upsert that carries its guard. The filter has only the id: with the guard in it, a document that is
 * newer would not match, and the upsert would try to insert it again.
 * @returns no operation for a change without effect
 */
export function toOperations(target: Target, change: DocumentChange): Operation[] {
  if (change.kind === 'replace') return [replace(change)]
  const update = updateOf(target, change)
  return update ? [{ updateOne: { filter: { _id: change.id }, update, upsert: true } }] : []
}

/** Replaces the whole document but keeps the mark of its collection. Values are literals, never operators. */
function replace({ id, fields }: Replace): Operation {
  const replacement = { $literal: { _id: id, ...Object.fromEntries(given(fields)) } }
  const update = [{ $replaceWith: { $mergeObjects: [replacement, { _mark: '$_mark' }] } }]
  return { updateOne: { filter: { _id: id }, update, upsert: true } }
}

function updateOf(target: Target, change: Exclude<DocumentChange, Replace>): Document | Document[] | null {
  switch (change.kind) {
    case 'put':
      return put(change)
    case 'add':
      return add(target, change)
    case 'total':
      return total(target, change)
    case 'latest':
      return { $max: { [topLevel(change.field)]: change.value } }
    case 'insert':
      return { $setOnInsert: Object.fromEntries(given(change.fields)) }
  }
}

// Inside one stage every expression sees the document as it was before. All values from outside are literals, since a
// text that begins with `$` would be taken for a field or an operator.

const literal = (value: unknown): Document => ({ $literal: value })

function put({ fields, revision }: Put): Document[] | null {
  const set: Document = {}
  for (const [field, value] of given(fields)) {
    const guard = `_revisions.${field}`
    const isNewer = { $lt: [{ $ifNull: [`$${guard}`, -1] }, revision] }
    set[field] = { $cond: [isNewer, literal(value), `$${field}`] }
    set[guard] = { $max: [`$${guard}`, revision] }
  }
  return Object.keys(set).length > 0 ? [{ $set: set }] : null
}

function add(target: Target, { position, set, sum, min, max, top }: Add): Document[] {
  const changed: Tree = new Map()
  for (const [field, value] of given(set)) grow(changed, field, () => literal(value))
  for (const [path, n] of members(sum)) grow(changed, path, (was) => ({ $add: [{ $ifNull: [was, 0] }, n] }))
  for (const [path, value] of members(min)) grow(changed, path, (was) => ({ $min: [was, literal(value)] }))
  for (const [path, value] of members(max)) grow(changed, path, (was) => ({ $max: [was, literal(value)] }))
  for (const one of top ?? []) {
    if (!target.counters.includes(one.field)) throw new RangeError(`'${one.field}' holds no counters`)
    grow(changed, one.field, (was) => increased(was, one))
  }
  changed.set('_position', literal(position))
  const isNewer = { $lt: [{ $ifNull: ['$_position', ''] }, literal(position)] }
  // Replaces the whole document or nothing: setting a nested member, even to its old value, would make a missing
  // parent.
  return [{ $replaceWith: { $cond: [isNewer, merged('$$ROOT', changed), '$$ROOT'] } }]
}

function total(target: Target, { position, by, fields }: Total): Document[] {
  const stored = given(fields).map(([field, value]) => [
    field,
    literal(target.counters.includes(field) ? toCounters(value as Record<string, number>) : value),
  ])
  const replaced = {
    $mergeObjects: ['$$ROOT', { ...Object.fromEntries(stored), _position: literal(position) }],
  }
  const isLater = { $lt: [{ $ifNull: ['$_position', ''] }, literal(position)] }
  const isMore = { $lt: [{ $ifNull: [`$${topLevel(by)}`, 0] }, literal(fields[by])] }
  return [{ $replaceWith: { $cond: [{ $and: [isLater, isMore] }, replaced, '$$ROOT'] } }]
}

const toCounters = (counts: Record<string, number>): object[] =>
  Object.entries(counts).map(([key, count]) => ({ key, count }))

/** Expressions by member, nested as the dotted paths are. */
type Tree = Map<string, Document | Tree>

function grow(tree: Tree, path: string, expression: (was: string) => Document): void {
  const steps = pathOf(path).split('.')
  const last = steps.pop() ?? ''
  let branch = tree
  for (const step of steps) {
    const there = branch.get(step)
    const next: Tree = there instanceof Map ? there : new Map()
    branch.set(step, next)
    branch = next
  }
  branch.set(last, expression(`$${path}`))
}

function merged(was: string, tree: Tree): Document {
  const prefix = was === '$$ROOT' ? '$' : `${was}.`
  const members = [...tree].map(([name, node]) => [
    name,
    node instanceof Map ? merged(`${prefix}${name}`, node) : node,
  ])
  return { $mergeObjects: [was, Object.fromEntries(members)] }
}

/**
 * A known key counts on. A new key is added while there is room; after that it counts as `other`. Keys may be any text,
 * so they are stored as values, not as names of fields.
 */
function increased(was: string, { cap, other, counts }: Top): Document {
  const there = { $ifNull: [was, []] }
  if (counts.length === 0) return there
  const others = { $filter: { input: '$$value', as: 'each', cond: { $ne: ['$$each.key', literal(other)] } } }
  const enters = {
    $or: [{ $in: ['$$this.key', '$$value.key'] }, { $lt: [{ $size: others }, cap] }],
  }
  const counted = { key: '$$each.key', count: { $add: ['$$each.count', '$$this.count'] } }
  const increase = {
    $map: {
      input: '$$value',
      as: 'each',
      in: { $cond: [{ $eq: ['$$each.key', '$$key'] }, counted, '$$each'] },
    },
  }
  const append = { $concatArrays: ['$$value', [{ key: '$$key', count: '$$this.count' }]] }
  return {
    $reduce: {
      input: literal(counts.map(([key, count]) => ({ key, count }))),
      initialValue: there,
      in: {
        $let: {
          vars: { key: { $cond: [enters, '$$this.key', literal(other)] } },
          in: { $cond: [{ $in: ['$$key', '$$value.key'] }, increase, append] },
        },
      },
    },
  }
}

const given = (fields: Record<string, Value> | undefined): [field: string, value: Value][] =>
  Object.entries(fields ?? {})
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => [topLevel(field), value])

const members = <T>(record: Record<string, T> | undefined): [string, T][] => Object.entries(record ?? {})

function topLevel(field: string): string {
  if (field.includes('.')) throw new RangeError(`'${field}' is no field name`)
  return pathOf(field)
}
