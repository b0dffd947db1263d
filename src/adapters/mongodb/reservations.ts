import type { Db } from 'mongodb'
import type { Reservation } from '../../application/ports.ts'

/** Those of one key, in the order they came. They end by the clock of the server, and the document some time after. */
interface QueueDocument {
  _id: string
  queue: { id: string; holds: string; until: Date }[]
  until: Date
}

const queues = (database: Db) => database.collection<QueueDocument>('reservations')

export async function openReservations(database: Db): Promise<void> {
  await queues(database).createIndex({ until: 1 }, { expireAfterSeconds: 0 })
}

export async function reserve(
  database: Db,
  key: string,
  { id, holds, ttlMs }: Reservation,
): Promise<string[]> {
  const until = { $add: ['$$NOW', ttlMs] }
  const left = {
    $filter: { input: { $ifNull: ['$queue', []] }, cond: { $gt: ['$$this.until', '$$NOW'] } },
  }
  const isThere = { $in: [{ $literal: id }, '$queue.id'] }
  const last = [{ id: { $literal: id }, holds: { $literal: holds }, until }]
  const joined = { $cond: [isThere, '$queue', { $concatArrays: ['$queue', last] }] }
  const found = await queues(database).findOneAndUpdate(
    { _id: key },
    [{ $set: { queue: left } }, { $set: { queue: joined, until } }],
    { upsert: true, returnDocument: 'after' },
  )
  const queue = found?.queue ?? []
  const place = queue.findIndex((one) => one.id === id)
  return queue.slice(0, place).map((one) => one.holds)
}

export async function release(database: Db, key: string, id: string): Promise<void> {
  await queues(database).updateOne({ _id: key }, { $pull: { queue: { id } } })
}
