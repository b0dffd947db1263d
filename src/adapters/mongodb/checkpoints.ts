import { randomUUID } from 'node:crypto'
import type { Db, Document as Stored } from 'mongodb'
import type { Projection } from '../../../projections/projection.ts'
import { type Checkpoint, DeposedError, type Step } from '../../application/ports.ts'
import type { StoredDocument } from './collections.ts'

/**
 * How far one generation of a projection has come, and what shows that its documents have come as far: they are in
 * collections of their own, each of which can be dropped, emptied or restored without this one. So in each of them one
 * document bears a mark that moves with the checkpoint. Where the mark is missing or stands further back, so do the
 * documents; and the random ids make sure that nothing which was made anew passes for what was there before.
 */
export interface CheckpointDocument {
  /** Stored name of the projection in its version and generation. */
  _id: string
  /** Made with this document, and anew whenever the checkpoint has to go back. */
  model: string
  at: Checkpoint | null
  /** By stored collection. */
  marks: Record<string, Mark>
}

export interface Mark {
  /** The document that bears it. */
  id: string
  /** The `model` that it was made for. */
  stamp: string
  position: string
}

/** The member of the marked document. */
export interface Borne {
  stamp: string
  at: Checkpoint
}

/** A checkpoint as far as its documents bear it out. */
export interface BornOut {
  model: string
  at: Checkpoint | null
  marks: Record<string, Mark>
  /** It says more than its documents do. */
  isWorn: boolean
}

const checkpointsIn = (database: Db) => database.collection<CheckpointDocument>('checkpoints')

/** @param names stored names of projections; so in what follows */
export async function lookAt(database: Db, names: readonly string[]): Promise<Map<string, BornOut>> {
  const found = await checkpointsIn(database)
    .find({ _id: { $in: [...names] }, model: { $exists: true } })
    .toArray()
  // In this order: marks are moved before their checkpoint.
  const borne = await readMarks(database, found)
  return new Map(found.map((document) => [document._id, bearOut(document, borne)]))
}

/** All marks with one question. */
async function readMarks(database: Db, found: readonly CheckpointDocument[]): Promise<Map<string, Borne>> {
  const [first, ...others] = found.flatMap(({ marks }) => Object.entries(marks))
  if (!first) return new Map()
  const select = ([collection, { id }]: [string, Mark]): Stored[] => [
    { $match: { _id: id } },
    { $project: { _id: 0, _mark: 1, collection: { $literal: collection } } },
  ]
  const unions = others.map((one) => ({ $unionWith: { coll: one[0], pipeline: select(one) } }))
  const marked = await database
    .collection<StoredDocument>(first[0])
    .aggregate<{ collection: string; _mark?: Borne }>([...select(first), ...unions])
    .toArray()
  return new Map(marked.flatMap(({ collection, _mark }) => (_mark ? [[collection, _mark]] : [])))
}

function bearOut({ model, at, marks }: CheckpointDocument, borne: ReadonlyMap<string, Borne>): BornOut {
  const sound: Record<string, Mark> = {}
  let [reached, isWorn] = [at, false]
  for (const [collection, mark] of Object.entries(marks)) {
    const found = borne.get(collection)
    const isThere = found?.stamp === mark.stamp
    if (isThere) sound[collection] = { ...mark, position: found.at.position }
    if (isThere && found.at.position >= mark.position) continue
    isWorn = true
    const upTo = isThere ? found.at : null
    if (reached && (upTo === null || upTo.position < reached.position)) reached = upTo
  }
  return { model, at: reached, marks: sound, isWorn }
}

/** Makes what is missing, and puts back what says more than its documents do. */
export async function makeCheckpoints(database: Db, names: readonly string[]): Promise<void> {
  for (const _id of names) {
    await checkpointsIn(database).updateOne(
      { _id },
      [
        {
          $set: {
            model: { $ifNull: ['$model', { $literal: randomUUID() }] },
            at: { $cond: [{ $eq: [{ $type: '$model' }, 'missing'] }, null, '$at'] },
            marks: { $ifNull: ['$marks', { $literal: {} }] },
          },
        },
      ],
      { upsert: true },
    )
  }
  for (const [_id, { model, at, marks, isWorn }] of await lookAt(database, names)) {
    if (!isWorn) continue
    const anew = { model: randomUUID(), at, marks }
    await checkpointsIn(database).updateOne({ _id, model }, { $set: anew })
  }
}

export interface Move {
  model: string
  from: Checkpoint | null
  to: Checkpoint
  marks: Record<string, Mark>
}

/** What a step does to each of the projections that it moves, by what is known of each. */
export function movesOf(
  { from, to }: Step,
  seen: ReadonlyMap<Projection, Pick<BornOut, 'model' | 'marks'>>,
): Map<Projection, Move> {
  const moves = new Map<Projection, Move>()
  for (const [projection, at] of to) {
    const [before, known] = [from.get(projection) ?? null, seen.get(projection)]
    if (known && at && at.position > (before?.position ?? '')) {
      moves.set(projection, { model: known.model, marks: known.marks, from: before, to: at })
    }
  }
  return moves
}

/**
 * Moves the checkpoint of documents that have come as far as `from` at least, and never back. `marks` are those that
 * were moved with the documents.
 * @throws DeposedError they have not, or are not those of this model: nothing was moved
 */
export async function moveCheckpoint(database: Db, _id: string, move: Move): Promise<void> {
  const { model, from, to, marks } = move
  const follows = from === null ? {} : { 'at.position': { $gte: from.position } }
  const isLater = { $lt: [{ $ifNull: ['$at.position', ''] }, { $literal: to.position }] }
  const set: Stored = { at: { $cond: [isLater, { $literal: to }, '$at'] } }
  for (const [collection, mark] of Object.entries(marks)) set[`marks.${collection}`] = { $literal: mark }
  const { matchedCount } = await checkpointsIn(database).updateOne({ _id, model, ...follows }, [
    { $set: set },
  ])
  if (matchedCount === 0)
    throw new DeposedError(
      `${_id} is not as far as ${from?.position ?? 'the start'}, or not what was followed`,
    )
}

export async function dropCheckpoint(database: Db, _id: string): Promise<void> {
  await checkpointsIn(database).deleteOne({ _id })
}
