import { randomUUID } from 'node:crypto'
import type { Db, Document as Stored } from 'mongodb'
import type { Projection } from '../../../../projections/projection.ts'
import type { Checkpoint, Step } from '../../../application/ports/checkpoints.ts'
import { LeadershipLostError } from '../../../application/ports/errors.ts'
import type { StoredDocument } from './collections.ts'

/**
 * How far one generation of a projection has come, and proof that its documents have come as far. The documents are in
 * collections of their own, each of which can be dropped, emptied or restored independently of this one. So one
 * document in each collection bears a mark that moves with the checkpoint. If the mark is missing or further back, so
 * are documents.
 */
export interface CheckpointDocument {
  /** The stored name of the projection, with its version and generation. */
  _id: string
  /** A random id, made with this document: so a model that was made anew cannot be mistaken for the one before. */
  model: string
  at: Checkpoint | null
  /** By the stored names of the collections. */
  marks: Record<string, Mark>
}

export interface Mark {
  /** The id of the document that bears it. */
  id: string
  /** The `model` for which it was made. */
  stamp: string
  position: string
}

/** The mark as it is stored in the document that bears it. */
type Borne = Omit<Mark, 'id'>

export interface SeenCheckpoint extends Omit<CheckpointDocument, '_id'> {
  /** Do the marks show that the documents have come as far? */
  isSound: boolean
}

const checkpointsIn = (database: Db) => database.collection<CheckpointDocument>('checkpoints')

/** Reads checkpoints and their marks. @param names stored names of projections, here and in what follows */
export async function lookAt(database: Db, names: readonly string[]): Promise<Map<string, SeenCheckpoint>> {
  const found = await checkpointsIn(database)
    .find({ _id: { $in: [...names] } })
    .toArray()
  // Read after the checkpoints, since marks are moved before their checkpoint: so they can only be further on.
  const borne = await readMarks(database, found)
  return new Map(
    found.map(({ _id, ...document }) => [_id, { ...document, isSound: isBorne(document, borne) }]),
  )
}

/** Reads all marks with one query. */
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

/** Makes a checkpoint if it is missing. */
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

/** For each projection that a step moves, how to move its checkpoint. */
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
 * Moves the checkpoint of documents that have come at least as far as `from`; it never moves back. `marks` are those
 * that were moved with the documents.
 * @throws LeadershipLostError if they have not come as far, or belong to another model: nothing was moved
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
