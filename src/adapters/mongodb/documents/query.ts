import { BSON, type Collection, type Document, type Filter, type FindOptions, type Sort } from 'mongodb'
import type { Condition, Document as FoundDocument, Scalar } from '../../../application/ports/documents.ts'
import type { Bound } from '../../../application/readModel/queryPlan.ts'
import type { Counted, Read } from '../../../application/readModel/readStretches.ts'
import type { Key } from '../../../application/readModel/order.ts'
import type { Stretch } from '../../../application/readModel/stretches.ts'
import { giveWay } from '../../../application/scheduling/turns.ts'
import { keysOf, present, type StoredDocument, type Target } from './collections.ts'
import { pathOf } from './names.ts'

type Comparison = Exclude<Condition, { any: unknown }>

/** The collection that is read. Between two reads of one query it may become that of another generation. */
export interface Source {
  target: Target
  read<T>(work: (collection: Collection<StoredDocument>) => Promise<T>): Promise<T>
}

/** Few enough for the time that a read may take. */
const DOCUMENTS_AT_ONCE = 250
/**
 * How many documents are looked at in one read if they may not match: few at first, since those that match are sent,
 * and often most of them do.
 */
const LOOKED_AT_ONCE = { first: 250, later: 1_000 }
const COUNTED_AT_ONCE = 5_000

const NOTHING: Document = { _id: { $in: [] } }
const EVERYTHING: Document = {}
/** The driver gives bytes; they are made documents piece by piece, so that the event loop is not held. */
const RAW = { raw: true }

const filterOf = (conditions: readonly (Condition | Bound)[]): Filter<StoredDocument> =>
  allOf(conditions.map(filterOne))

/** Finds documents, in no particular order. */
export async function findAny(
  { target, read }: Source,
  where: readonly Condition[],
  limit: number,
  numbers?: readonly string[],
): Promise<FoundDocument[]> {
  const options = { limit, batchSize: limit + 1, ...(numbers && { projection: keysOf(numbers, []) }) }
  const found = await read((collection) => collection.find(filterOf(where), options).toArray())
  return found.map((document) => present(target, document))
}

/** Reads from the start of a stretch. @param turn how many reads the same query has made before */
export async function readStretch(
  source: Source,
  stretch: Stretch,
  { atMost, turn }: { atMost: number; turn: number },
  signal?: AbortSignal,
): Promise<Read> {
  const looked = turn === 0 ? LOOKED_AT_ONCE.first : LOOKED_AT_ONCE.later
  return stretch.plan.filter.length > 0
    ? readFiltered(source, stretch, { atMost, looked }, signal)
    : readWhole(source, stretch, Math.min(atMost, DOCUMENTS_AT_ONCE), signal)
}

async function readWhole(
  { target, read }: Source,
  stretch: Stretch,
  limit: number,
  signal?: AbortSignal,
): Promise<Read> {
  signal?.throwIfAborted()
  const { field } = stretch.plan
  const options: FindOptions = { ...optionsOf(stretch), ...RAW, limit, batchSize: limit + 1 }
  const rows = await read((collection) => collection.find(filterOf(stretch.bounds), options).toArray())
  const documents: FoundDocument[] = []
  for await (const row of eachRow<StoredDocument>(rows, signal)) documents.push(present(target, row))
  const last = documents.length < limit ? undefined : documents.at(-1)
  return { documents, last: last ? { value: valueIn(last, field), id: last.id } : null }
}

interface FilteredRow {
  _id: string
  value?: Scalar
  document: StoredDocument | null
}

/** The filter comes behind the limit: if it came before, the server would go on until it has found enough matches. */
async function readFiltered(
  { target, read }: Source,
  stretch: Stretch,
  { atMost, looked }: { atMost: number; looked: number },
  signal?: AbortSignal,
): Promise<Read> {
  signal?.throwIfAborted()
  const { field, filter } = stretch.plan
  const { sort, hint } = optionsOf(stretch)
  const isTaken = { $and: filter.map(expressionOf) }
  const pipeline = [
    { $match: filterOf(stretch.bounds) },
    { $sort: sort },
    { $limit: looked },
    { $project: { value: `$${pathOf(field ?? 'id')}`, document: { $cond: [isTaken, '$$ROOT', null] } } },
  ]
  const options = { ...RAW, hint, batchSize: looked + 1 }
  const rows = await read((collection) => collection.aggregate(pipeline, options).toArray())
  const documents: FoundDocument[] = []
  let last: Key | null = null
  for await (const { _id, value = null, document } of eachRow<FilteredRow>(rows, signal)) {
    if (documents.length === atMost) return { documents, last }
    if (document) documents.push(present(target, document))
    last = { value, id: _id }
  }
  return { documents, last: rows.length < looked ? null : last }
}

/** Counts from the start of a stretch. */
export async function countStretch(
  { read }: Source,
  stretch: Stretch,
  atMost: number,
  signal?: AbortSignal,
): Promise<Counted> {
  signal?.throwIfAborted()
  const limit = Math.min(atMost, COUNTED_AT_ONCE)
  const { sort, hint } = optionsOf(stretch)
  const filter = filterOf(stretch.bounds)
  const count = await read((collection) => collection.countDocuments(filter, { limit, hint }))
  if (count < limit || count === atMost) return { count, last: null }
  const { field } = stretch.plan
  const projection = keysOf(field === null ? [] : [field])
  const options = { sort, hint, projection, skip: limit - 1 }
  const row = await read((collection) => collection.findOne(filter, options))
  return { count, last: row ? { value: valueIn(row, field), id: row._id } : null }
}

/** Names the index, so that the choice does not depend on what the server assumes about the data. */
function optionsOf({ plan, by, descending }: Stretch): { sort: Sort; hint: Document } {
  const fields = by === 'field' && plan.field !== null ? [plan.field, 'id'] : ['id']
  const sort = Object.fromEntries(fields.map((field) => [pathOf(field), descending ? -1 : 1] as const))
  return { sort, hint: keysOf(plan.index) }
}

const valueIn = (document: Record<string, unknown>, field: string | null): Scalar =>
  ((field === null ? undefined : document[field]) as Scalar | undefined) ?? null

async function* eachRow<T>(rows: readonly Document[], signal?: AbortSignal): AsyncGenerator<T> {
  for (const row of rows) {
    const pause = giveWay(signal)
    if (pause) await pause
    yield BSON.deserialize(row as unknown as Uint8Array) as T
  }
}

function filterOne(condition: Condition | Bound): Document {
  if (!('any' in condition)) return comparison(condition)
  return condition.any.length > 0 ? { $or: condition.any.map(filterOne) } : NOTHING
}

function comparison(condition: Comparison | Bound): Document {
  const field = pathOf(condition.field)
  switch (condition.op) {
    case 'eq':
      return { [field]: { $eq: condition.value } }
    case 'present':
      return { [field]: { $ne: null } }
    case 'in':
      return { [field]: { $in: condition.value } }
    case 'contains':
      return { $expr: expressionOf(condition) }
    default:
      // A document without the field is neither behind nor before any value.
      return condition.value === null ? NOTHING : { [field]: { [`$${condition.op}`]: condition.value } }
  }
}

/** The same condition as an expression. Values from outside are literals, so that `$` in them means nothing. */
function expressionOf(condition: Condition): Document {
  if ('any' in condition) return { $or: condition.any.map(expressionOf) }
  const field = `$${pathOf(condition.field)}`
  const value = { $literal: condition.value }
  switch (condition.op) {
    case 'eq':
      return condition.value === null ? { $lte: [field, null] } : { $eq: [field, value] }
    case 'in':
      return { $in: [field, value] }
    case 'contains': {
      // Searches for bytes, since a pattern would have to be escaped, and cannot hold a NUL.
      const text = { $cond: [{ $eq: [{ $type: field }, 'string'] }, field, null] }
      return { $gte: [{ $indexOfBytes: [text, value] }, 0] }
    }
    default:
      return { $and: [{ $gt: [field, null] }, { [`$${condition.op}`]: [field, value] }] }
  }
}

function allOf(conditions: readonly Document[]): Document {
  const [first = EVERYTHING, ...others] = conditions.filter((condition) => condition !== EVERYTHING)
  return others.length > 0 ? { $and: [first, ...others] } : first
}
