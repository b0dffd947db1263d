import { isDeepStrictEqual } from 'node:util'
import type { Collection, Db, Document as Stored } from 'mongodb'
import type { Document } from '../../../application/ports/documents.ts'
import type { Collection as CollectionOf, Index, Projection } from '../../../../projections/projection.ts'
import type { Connection } from '../database/connection.ts'
import { isCode, NAMESPACE_EXISTS } from '../database/errors.ts'
import { pathOf, storedName } from './names.ts'
import { validatorOf } from './validator.ts'

/**
 * A document as it is stored, with what its guards need: `_revisions` holds the stream revision that set each field,
 * `_position` the log position of the last `add` or `total`.
 */
export type StoredDocument = { _id: string } & Record<string, unknown>

/** A collection in one version and generation of its projection. */
export interface Target {
  name: string
  projection: Projection
  collection: CollectionOf
  counters: readonly string[]
  in(database: Db): Collection<StoredDocument>
}

export interface Targets {
  /** @throws RangeError if no opened projection has such a collection, which is a mistake in the program */
  of(collection: string): Target
  has(collection: string): boolean
}

/** The collections of projections. Each is looked up in the generation that is current at the time of the call. */
export function targetsAt(
  projections: readonly Projection[],
  generation: (projection: Projection) => number,
): Targets {
  const owners = new Map(
    projections.flatMap((projection) =>
      projection.collections.map((collection) => [collection.name, { projection, collection }] as const),
    ),
  )
  return {
    of(collection) {
      const owner = owners.get(collection)
      if (!owner) throw new RangeError(`no open projection has a collection '${collection}'`)
      const { projection } = owner
      const { version } = projection
      const name = storedName({ name: collection, version }, generation(projection))
      const { counters = [] } = owner.collection
      const read = { projection, collection: owner.collection, counters }
      return { name, ...read, in: (database) => database.collection(name) }
    },
    has: (collection) => owners.has(collection),
  }
}

/** The document as readers get it, without what its guards need. */
export function present({ counters }: Target, { _id, ...stored }: StoredDocument): Document {
  const shown: Document = { id: _id }
  for (const [field, value] of Object.entries(stored)) {
    if (field.startsWith('_')) continue
    shown[field] = counters.includes(field) ? toObject(value as { key: string; count: number }[]) : value
  }
  return shown
}

type Write = Connection['write']

/** Makes the collections and indexes that are missing. Several processes may do so at once. */
export async function makeCollections(
  write: Write,
  projections: readonly Projection[],
  generation: (projection: Projection) => number,
): Promise<void> {
  for (const projection of projections) {
    const { version, collections } = projection
    for (const collection of collections) {
      const name = storedName({ name: collection.name, version }, generation(projection))
      await write((database) => makeCollection(database, name, validatorOf(collection)))
      for (const index of collection.indexes) {
        await write((database) => makeIndex(database.collection(name), index))
      }
    }
  }
}

async function makeCollection(database: Db, name: string, validator: Stored): Promise<void> {
  try {
    await database.createCollection(name, { validator })
  } catch (error) {
    if (!isCode(error, NAMESPACE_EXISTS)) throw error
    const [there] = await database.listCollections({ name }).toArray()
    const options = there && 'options' in there ? (there.options as Stored) : {}
    if (!isDeepStrictEqual(options.validator, validator)) await database.command({ collMod: name, validator })
  }
}

async function makeIndex(collection: Collection, { fields, unique, sparse, without }: Index): Promise<void> {
  const keys = unique ? keysOf(fields, []) : keysOf(fields)
  // The index has only documents with a text in the field, since `null` may be in many.
  const having = (unique || sparse) && { [pathOf(fields.at(-1) ?? '')]: { $gte: '' } }
  const filter = without === undefined ? having : { [pathOf(without)]: { $eq: null } }
  const partial = filter && { partialFilterExpression: filter }
  await collection.createIndex(keys, { ...(unique && { unique }), ...partial })
}

/** The keys of an index, by which it is made, and named in a query. */
export const keysOf = (fields: readonly string[], last = ['id']): Record<string, 1> =>
  Object.fromEntries([...fields, ...last].map((field) => [pathOf(field), 1 as const]))

/** `fromEntries` makes own members of any keys, also of `__proto__`. */
const toObject = (counters: readonly { key: string; count: number }[]): Record<string, number> =>
  Object.fromEntries(counters.map(({ key, count }) => [key, count]))
