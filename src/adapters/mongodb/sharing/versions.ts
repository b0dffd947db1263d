import type { Db } from 'mongodb'
import type { Projection } from '../../../../projections/projection.ts'

/** Which versions of a projection have caught up with the log. `live`, the newest of them, is for people only. */
interface PointerDocument {
  _id: string
  live: number
  published: number[]
}

const pointers = (database: Db) => database.collection<PointerDocument>('pointers')

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
