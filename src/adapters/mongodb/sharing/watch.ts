import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientSession, Db, Document, Long, MongoClient } from 'mongodb'
import { ageOf, type Instant, now, older } from '../../../application/ports/clock.ts'
import type { Watch } from '../../../application/ports/sharing.ts'
import type { Target } from '../documents/collections.ts'
import { toStoreError } from '../database/errors.ts'
import type { Primacy } from '../database/primacy.ts'

interface ReplicaSet {
  client: MongoClient
  database: Db
  primacy: Primacy
}

type OnChanged = (ids: ReadonlySet<string> | null) => void

/** The collection that is watched. It changes when a rebuild makes another generation the live one. */
export interface Watched {
  target(): Target
  /** Keeps the knowledge about it fresh. */
  keep(): void
  /** Is the answer of `target` less than a second old? */
  isTrusted(): boolean
}

/** How long the server waits for changes before it answers that there are none. Each answer keeps the watch live. */
const WAIT_MS = 200
const BATCH_SIZE = 1_000
const TRUSTED_MS = 1_000
/** The age at which the proof that the server is the primary is renewed, beside the stream. */
const PROOF_AGE_MS = 150
const RETRY_MS = { first: 25, longest: 500 }

/**
 * Follows a collection by a change stream. It sends the commands itself instead of using the driver's cursor, since
 * that resumes silently, while here an answer is worth only as much as the time at which it was asked for.
 */
export function watchCollection(
  { client, database, primacy }: ReplicaSet,
  watched: Watched,
  fields: readonly string[],
  onChanged: OnChanged,
  onLost: (error: unknown) => void = () => {},
): Watch {
  const closing = new AbortController()
  /** Every change that was acknowledged before this moment has been announced. */
  let announcedUpTo: Instant | null = null
  let failures = 0

  async function follow(): Promise<void> {
    const session = client.startSession({ causalConsistency: false })
    let stream: Stream | null = null
    try {
      const opened = now()
      const reign = primacy.reign()
      const { name } = watched.target()
      stream = await openStream(database, session, name, fields)
      // The stream begins behind the newest write that the server has, which a majority may not have yet. A majority
      // has it once the proof is there. So whoever reads from then on sees the writes before the beginning of the
      // stream.
      await primacy.renew()
      if (reign !== primacy.reign()) throw new Error('another primary was elected')
      onChanged(null)
      announcedUpTo = opened
      failures = 0
      while (!closing.signal.aborted) await step(stream, name, reign)
    } finally {
      announcedUpTo = null
      // A server keeps a cursor that is not closed for half an hour.
      await stream?.close().catch(() => {})
      await session.endSession()
    }
  }

  async function step(stream: Stream, name: string, reign: string): Promise<void> {
    const asked = now()
    // Only a proof that was complete before the question was asked makes the answer trustworthy.
    const proven = primacy.provenAt()
    primacy.keepFresh(PROOF_AGE_MS)
    watched.keep()
    const batch = await stream.next()
    const ids = changedIn(batch)
    if (ids === null || ids.size > 0) onChanged(ids)
    if (ids === null || reign !== primacy.reign() || name !== watched.target().name)
      throw new Error('the stream has ended')
    if (proven && batch.length < BATCH_SIZE) announcedUpTo = older(asked, proven)
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      await follow().catch((error: unknown) => {
        if (failures === 0 && !closing.signal.aborted) onLost(toStoreError(error))
      })
      const pause = Math.min(RETRY_MS.first * 2 ** failures++, RETRY_MS.longest)
      await sleep(pause * (0.5 + Math.random()), undefined, { signal: closing.signal }).catch(() => {})
    }
  }

  const running = run()
  return {
    isLive: () => announcedUpTo !== null && ageOf(announcedUpTo) <= TRUSTED_MS && watched.isTrusted(),
    async close() {
      closing.abort()
      await running
    },
  }
}

interface Stream {
  /** What has happened since the last call. Waits for it up to `WAIT_MS`; then it is empty. */
  next(): Promise<Document[]>
  close(): Promise<void>
}

async function openStream(
  database: Db,
  session: ClientSession,
  collection: string,
  fields: readonly string[],
): Promise<Stream> {
  const pipeline = [
    { $changeStream: {} },
    { $match: { $expr: { $or: [{ $ne: ['$operationType', 'update'] }, touches(fields)] } } },
    { $project: { operationType: 1, documentKey: 1 } },
  ]
  // Ids of cursors have 64 bits, which a number cannot hold.
  const options = { session, promoteLongs: false }
  const opened = await database.command(
    { aggregate: collection, pipeline, cursor: { batchSize: 0 }, readConcern: { level: 'majority' } },
    options,
  )
  const id = opened.cursor.id as Long
  return {
    async next() {
      const more = { getMore: id, collection, batchSize: BATCH_SIZE, maxTimeMS: WAIT_MS }
      const { cursor } = await database.command(more, options)
      return cursor.nextBatch as Document[]
    },
    async close() {
      await database.command({ killCursors: collection, cursors: [id] }, { session })
    },
  }
}

/**
 * An expression: does an update change one of these members? The server names a change inside a member by a dotted
 * path.
 */
function touches(fields: readonly string[]): Document {
  const update = '$updateDescription'
  const paths = {
    $concatArrays: [
      {
        $map: {
          input: { $objectToArray: { $ifNull: [`${update}.updatedFields`, {}] } },
          in: '$$this.k',
        },
      },
      { $ifNull: [`${update}.removedFields`, []] },
      { $ifNull: [`${update}.truncatedArrays.field`, []] },
    ],
  }
  const member = { $arrayElemAt: [{ $split: ['$$this', '.'] }, 0] }
  return { $anyElementTrue: [{ $map: { input: paths, in: { $in: [member, { $literal: fields }] } } }] }
}

/** The ids of changed documents; null if any may have changed, since the collection itself was dropped or renamed. */
function changedIn(batch: readonly Document[]): Set<string> | null {
  const ids = new Set<string>()
  for (const { documentKey } of batch) {
    if (!documentKey) return null
    ids.add(documentKey._id as string)
  }
  return ids
}
