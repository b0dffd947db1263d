import type { Db } from 'mongodb'
import { DeposedError } from '../../application/ports.ts'
import type { Projection } from '../../../projections/projection.ts'
import { storedName } from './names.ts'

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

export async function readCheckpoint(database: Db, projection: Projection): Promise<string | null> {
  const found = await checkpoints(database).findOne({ _id: storedName(projection) })
  return found?.position ?? null
}

/** Never moves backwards. @throws DeposedError a later term has moved it: then it stays where it is */
export async function advanceCheckpoint(
  database: Db,
  projection: Projection,
  { position, term }: { position: string; term: number },
): Promise<void> {
  const isDeposed = { $gt: [{ $ifNull: ['$term', 0] }, term] }
  const later = { $max: ['$position', { $literal: position }] }
  const moved = await checkpoints(database).findOneAndUpdate(
    { _id: storedName(projection) },
    [{ $set: { position: { $cond: [isDeposed, '$position', later] }, term: { $max: ['$term', term] } } }],
    { upsert: true, returnDocument: 'after' },
  )
  if (moved && moved.term > term) {
    throw new DeposedError(`${projection.name} is followed in term ${moved.term}, this was ${term}`)
  }
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
