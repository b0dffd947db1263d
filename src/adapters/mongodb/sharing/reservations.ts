import type { Db } from 'mongodb'
import type { Queued, Reservation } from '../../../application/ports/sharing.ts'

/**
 * The reservations of one key, in the order they came. They expire by the clock of the server; the document goes later.
 */
interface QueueDocument {
  _id: string
  queue: (Queued & { until: Date })[]
  until: Date
}

const queues = (database: Db) => database.collection<QueueDocument>('reservations')

export async function openReservations(database: Db): Promise<void> {
  await queues(database).createIndex({ until: 1 }, { expireAfterSeconds: 0 })
}

const left = { $filter: { input: { $ifNull: ['$queue', []] }, cond: { $gt: ['$$this.until', '$$NOW'] } } }

/** It may be repeated after a failure, even if the first call has taken effect. */
export async function reserve(
  database: Db,
  key: string,
  { id, holds, ttlMs }: Reservation,
): Promise<Queued[]> {
  const until = { $add: ['$$NOW', ttlMs] }
  const isThere = { $in: [{ $literal: id }, '$queue.id'] }
  const last = [{ id: { $literal: id }, holds: { $literal: holds }, until }]
  const joined = { $cond: [isThere, '$queue', { $concatArrays: ['$queue', last] }] }
  const found = await queues(database).findOneAndUpdate(
    { _id: key },
    [{ $set: { queue: left } }, { $set: { queue: joined, until } }],
    { upsert: true, returnDocument: 'after' },
  )
  return found?.queue ?? []
}

export async function queue(database: Db, key: string): Promise<Queued[]> {
  const found = await queues(database).findOne({ _id: key }, { projection: { queue: left } })
  return found?.queue ?? []
}

export async function release(database: Db, key: string, id: string): Promise<void> {
  await queues(database).updateOne({ _id: key }, { $pull: { queue: { id } } })
}
