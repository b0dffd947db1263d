import type { Db } from 'mongodb'
import type { LeaseRequest, Lease } from '../../../application/ports/sharing.ts'

/** Who leads a group. Its times are by the clock of the server, since the clocks of processes may differ. */
interface LeaseDocument {
  _id: string
  holder: string | null
  term: number
  until: Date
  lag: number
  /** Stored under this name since the first version: processes of other versions read it. */
  level: boolean
}

const leases = (database: Db) => database.collection<LeaseDocument>('leases')

export async function acquireLease(database: Db, group: string, request: LeaseRequest): Promise<Lease> {
  const { id, ttlMs, lag, caughtUp } = request
  const isHeld = { $eq: ['$holder', { $literal: id }] }
  const isFree = { $lte: [{ $ifNull: ['$until', new Date(0)] }, '$$NOW'] }
  const mine = (value: unknown, field: string) => ({ $cond: [{ $or: [isHeld, isFree] }, value, `$${field}`] })
  const nextTerm = { $cond: [isHeld, '$term', { $add: [{ $ifNull: ['$term', 0] }, 1] }] }
  const found = await leases(database).findOneAndUpdate(
    { _id: group },
    [
      {
        $set: {
          holder: mine({ $literal: id }, 'holder'),
          term: mine(nextTerm, 'term'),
          until: mine({ $add: ['$$NOW', ttlMs] }, 'until'),
          lag: mine(lag, 'lag'),
          level: mine(caughtUp, 'level'),
        },
      },
    ],
    { upsert: true, returnDocument: 'after' },
  )
  if (found?.holder === id) return { term: found.term }
  return { term: null, lag: found?.lag ?? 0, caughtUp: found?.level ?? false }
}

/** Whoever asks next, even the same process, begins a new term. */
export async function releaseLease(database: Db, group: string, id: string): Promise<void> {
  await leases(database).updateOne({ _id: group, holder: id }, { $set: { holder: null, until: new Date(0) } })
}
