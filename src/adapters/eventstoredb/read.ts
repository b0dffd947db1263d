import {
  type AllStreamResolvedEvent,
  BACKWARDS,
  END,
  type ResolvedEvent,
  START,
  type StreamingRead,
} from '@eventstore/db-client'
import { StoreUnavailableError } from '../../application/ports/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { arrivalsOf } from './arrivals.ts'
import type { Connection } from './connection.ts'
import { CALL_MS } from './deadline.ts'
import { isInvalidPosition, isMissingStream, readError } from './errors.ts'
import { isSystemStream, type Recorded, toStoredEvent } from './event.ts'
import { fromPosition, isPosition, toPosition } from './position.ts'

/** Events in one batch. */
export const BATCH = 500
/** How many wait in memory for whoever reads them: the next comes while one batch is used. */
export const BUFFER = { highWaterMark: 2 * BATCH }

/** The events of one stream from a revision on; none if there is no such stream. */
export async function readStream(
  { client, call }: Connection,
  stream: string,
  fromRevision: number,
  limit: number,
): Promise<StoredEvent[]> {
  if (limit <= 0) return []
  const options = { ...call, fromRevision: BigInt(fromRevision), maxCount: BigInt(limit) }
  const found: StoredEvent[] = []
  try {
    for await (const events of batches(client.readStream(stream, options, BUFFER))) {
      found.push(...events.map(toStoredEvent))
    }
  } catch (error) {
    if (isMissingStream(error)) return []
    throw readError(error)
  }
  return found
}

/** All events after a position but those of the server itself, in log order. */
export async function* readAll(
  { client, call }: Connection,
  after: string | null,
): AsyncGenerator<StoredEvent[], void, undefined> {
  const start = after === null ? START : fromPosition(after)
  try {
    for await (const events of batches(client.readAll({ ...call, fromPosition: start }, BUFFER))) {
      const stored = events.filter(({ streamId }) => !isSystemStream(streamId)).map(toStoredEvent)
      // A read begins with the event at the position itself.
      const next = stored[0]?.position === after ? stored.slice(1) : stored
      if (next.length > 0) yield next
    }
  } catch (error) {
    throw readError(error)
  }
}

/** The event at a position; null where none begins. */
export async function readAt({ client, call }: Connection, position: string): Promise<StoredEvent | null> {
  if (!isPosition(position)) return null
  const options = { ...call, fromPosition: fromPosition(position), maxCount: 1 }
  try {
    for await (const [first] of batches(client.readAll(options))) {
      // Where an event was taken, or the log is another one, the next one comes.
      const found = first && toStoredEvent(first)
      return found?.position === position ? found : null
    }
    return null
  } catch (error) {
    if (isInvalidPosition(error)) return null
    throw readError(error)
  }
}

/** The position of the newest event of all, whosever it is; null in an empty log. */
export async function head({ client, call }: Connection): Promise<string | null> {
  const options = { ...call, direction: BACKWARDS, fromPosition: END, maxCount: 1 } as const
  try {
    for await (const [newest] of batches(client.readAll(options))) return toPosition(newest?.position)
    return null
  } catch (error) {
    throw readError(error)
  }
}

/**
 * What a read gives, in batches. However it is left, the call is cancelled: one that is not stays open on the server,
 * which has room for a hundred.
 * @throws what the read failed with; StoreUnavailableError after `CALL_MS` of silence
 */
async function* batches(
  read: StreamingRead<ResolvedEvent | AllStreamResolvedEvent>,
): AsyncGenerator<Recorded[], void, undefined> {
  const arrivals = arrivalsOf<ResolvedEvent>(read)
  try {
    for (;;) {
      const events = arrivals.take(BATCH).flatMap(({ event }) => (event ? [event as Recorded] : []))
      if (events.length > 0) yield events
      else if (arrivals.ended()) return
      else if (!(await arrivals.next(CALL_MS))) throw new StoreUnavailableError('the server is silent')
    }
  } finally {
    read.cancel().catch(() => {})
  }
}
