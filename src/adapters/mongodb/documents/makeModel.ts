import { randomUUID } from 'node:crypto'
import type { Db } from 'mongodb'
import type { Projection } from '../../../../projections/projection.ts'
import { dropCheckpoint, lookAt, makeCheckpoint } from './checkpoints.ts'
import { makeCollections } from './collections.ts'
import type { Connection } from '../database/connection.ts'
import { isCode, DUPLICATE_KEY } from '../database/errors.ts'
import { FIRST, type GenerationDocument, pointersIn } from './generations.ts'
import { storedName } from './names.ts'

type Write = Connection['write']

/**
 * Makes whatever the documents of a projection need and is missing. If documents may be missing, the generation is
 * given up, and a new one is begun from nothing. It is not refilled in place: processes that do not know yet go on
 * writing to it, and what they count there would then be missing for ever.
 * @param isCondemned is this the identity of a model that is known to have been lost?
 */
export async function makeModel(
  write: Write,
  projection: Projection,
  isCondemned: (identity: string) => boolean,
): Promise<void> {
  const pointer = await write((database) => pointersIn(database).findOne({ _id: storedName(projection) }))
  const there = await write((database) => generationsIn(database, projection))
  if (pointer?.model && !isCondemned(pointer.model) && (await isSound(write, projection, pointer.live))) {
    await makeGeneration(write, projection, pointer.live)
    return
  }
  const { live, next, old, dropping } = pointer ?? { ...FIRST, live: 0 }
  const generation = Math.max(live, next ?? 0, old ?? 0, dropping ?? 0, ...there) + 1
  await makeGeneration(write, projection, generation)
  if (!(await write((database) => pointTo(database, projection, pointer, generation)))) return
  for (const left of there.filter((one) => one !== live))
    await write((database) => dropGeneration(database, projection, left))
}

/** Everything that one generation consists of. */
export async function makeGeneration(
  write: Write,
  projection: Projection,
  generation: number,
): Promise<void> {
  await makeCollections(write, [projection], () => generation)
  await write((database) => makeCheckpoint(database, storedName(projection, generation)))
}

export async function dropGeneration(
  database: Db,
  projection: Projection,
  generation: number,
): Promise<void> {
  for (const { name } of projection.collections) {
    await database.dropCollection(storedName({ name, version: projection.version }, generation))
  }
  await dropCheckpoint(database, storedName(projection, generation))
}

async function isSound(write: Write, projection: Projection, generation: number): Promise<boolean> {
  const name = storedName(projection, generation)
  return (await write((database) => lookAt(database, [name]))).get(name)?.isSound ?? false
}

/** The generations of which some collection exists. */
async function generationsIn(database: Db, projection: Projection): Promise<number[]> {
  const names = (await database.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name)
  return projection.collections.flatMap((collection) => {
    const first = storedName({ name: collection.name, version: projection.version })
    return names.flatMap((name) => {
      if (name === first) return [1]
      const [, number] = name.startsWith(`${first}_g`)
        ? (/^(\d+)$/.exec(name.slice(first.length + 2)) ?? [])
        : []
      return number === undefined ? [] : [Number(number)]
    })
  })
}

/** Makes a new generation the live one. @returns false if another process has done so meanwhile */
async function pointTo(
  database: Db,
  projection: Projection,
  before: GenerationDocument | null,
  generation: number,
): Promise<boolean> {
  const _id = storedName(projection)
  const dropping = before?.live ?? null
  const fresh = { ...FIRST, model: randomUUID(), live: generation, dropping, since: '$$NOW' }
  if (before) {
    const unchanged = { _id, model: before.model ?? { $exists: false }, live: before.live }
    return (await pointersIn(database).updateOne(unchanged, [{ $set: fresh }])).matchedCount === 1
  }
  try {
    const absent = { _id, model: { $exists: false } }
    return (
      (await pointersIn(database).updateOne(absent, [{ $set: fresh }], { upsert: true })).upsertedCount === 1
    )
  } catch (error) {
    if (isCode(error, DUPLICATE_KEY)) return false
    throw error
  }
}
