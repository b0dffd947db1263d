import { randomUUID } from 'node:crypto'
import type { Db, Document as Stored } from 'mongodb'
import type { Projection } from '../../../../projections/projection.ts'
import type { Checkpoint, Step } from '../../../application/ports/checkpoints.ts'
import { LeadershipLostError } from '../../../application/ports/errors.ts'
import type { StoredDocument } from './collections.ts'

/**
 * How far one generation of a projection has come, and what shows that its documents have come as far: they are in
 * collections of their own, each of which can be dropped, emptied or restored without this one. So in each of them one
 * document bears a mark that moves with the checkpoint: where it is missing, or stands further back, documents are.
 */
export interface CheckpointDocument {
  /** Stored name of the projection in its version and generation. */
  _id: string
  /** Made at random with this document: nothing that was made anew passes for what was there before. */
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
type Borne = Omit<Mark, 'id'>

export interface SeenCheckpoint extends Omit<CheckpointDocument, '_id'> {
  /** Do the documents bear it out? */
  isSound: boolean
}

const checkpointsIn = (database: Db) => database.collection<CheckpointDocument>('checkpoints')

/** @param names stored names of projections; so in what follows */
export async function lookAt(database: Db, names: readonly string[]): Promise<Map<string, SeenCheckpoint>> {
  const found = await checkpointsIn(database)
    .find({ _id: { $in: [...names] } })
    .toArray()
  // In this order: marks are moved before their checkpoint.
  const borne = await readMarks(database, found)
  return new Map(
    found.map(({ _id, ...document }) => [_id, { ...document, isSound: isBorne(document, borne) }]),
  )
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

const isBorne = ({ marks }: Pick<CheckpointDocument, 'marks'>, borne: ReadonlyMap<string, Borne>): boolean =>
  Object.entries(marks).every(([collection, { stamp, position }]) => {
    const found = borne.get(collection)
    return found?.stamp === stamp && found.position >= position
  })

/** Where it is missing. */
export async function makeCheckpoint(database: Db, _id: string): Promise<void> {
  const fresh = { model: randomUUID(), at: null, marks: {} }
  await checkpointsIn(database).updateOne({ _id }, { $setOnInsert: fresh }, { upsert: true })
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
  seen: ReadonlyMap<Projection, Pick<SeenCheckpoint, 'model' | 'marks'>>,
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
 * @throws LeadershipLostError they have not, or are not those of this model: nothing was moved
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
    throw new LeadershipLostError(
      `${_id} is not as far as ${from?.position ?? 'the start'}, or not what was followed`,
    )
}

export async function dropCheckpoint(database: Db, _id: string): Promise<void> {
  await checkpointsIn(database).deleteOne({ _id })
}
