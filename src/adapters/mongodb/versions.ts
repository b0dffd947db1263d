import type { Db } from 'mongodb'
import { DeposedError } from '../../application/ports.ts'
import type { Projection } from '../../../projections/projection.ts'

interface CheckpointDocument {
  _id: string
  position: string
  term: number
}

/** Which versions of a projection have caught up with the log. `live` is the newest of them, for people who look. */
interface PointerDocument {
  _id: string
  live: number
  published: number[]
}

const checkpoints = (database: Db) => database.collection<CheckpointDocument>('checkpoints')
const pointers = (database: Db) => database.collection<PointerDocument>('pointers')

/** @param stored name of a projection in one version and generation; so in what follows */
export async function readCheckpoint(database: Db, stored: string): Promise<string | null> {
  const found = await checkpoints(database).findOne({ _id: stored })
  return found?.position ?? null
}

export async function dropCheckpoint(database: Db, stored: string): Promise<void> {
  await checkpoints(database).deleteOne({ _id: stored })
}

/** Never moves backwards. @returns where it is then. @throws DeposedError a later term has moved it: then it stays where it is */
export async function advanceCheckpoint(
  database: Db,
  stored: string,
  { position, term }: { position: string; term: number },
): Promise<string> {
  const isDeposed = { $gt: [{ $ifNull: ['$term', 0] }, term] }
  const later = { $max: ['$position', { $literal: position }] }
  const moved = await checkpoints(database).findOneAndUpdate(
    { _id: stored },
    [{ $set: { position: { $cond: [isDeposed, '$position', later] }, term: { $max: ['$term', term] } } }],
    { upsert: true, returnDocument: 'after' },
  )
  if (moved && moved.term > term) {
    throw new DeposedError(`${stored} is followed in term ${moved.term}, this was ${term}`)
  }
  return moved?.position ?? position
}

export async function publish(database: Db, { name, version }: Projection): Promise<void> {
  const published = { $setUnion: [{ $ifNull: ['$published', []] }, [version]] }
  await pointers(database).updateOne(
    { _id: name },
    [{ $set: { live: { $max: ['$live', version] }, published } }],
    { upsert: true },
  )
}

export async function arePublished(database: Db, projections: readonly Projection[]): Promise<boolean> {
  const found = await pointers(database)
    .find({ _id: { $in: projections.map(({ name }) => name) } })
    .toArray()
  return projections.every(({ name, version }) =>
    found.some(({ _id, published }) => _id === name && published.includes(version)),
  )
}
