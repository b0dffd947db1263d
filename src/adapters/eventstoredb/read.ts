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

/** The greatest number of events in one batch. */
export const BATCH = 500
/** How many events may wait in memory, so that the next batch arrives while one is used. */
export const BUFFER = { highWaterMark: 2 * BATCH }

/** The events of a stream from a revision on; none if there is no such stream. */
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

/** All events after a position in log order, except for those of the server itself. */
export async function* readAll(
  { client, call }: Connection,
  after: string | null,
): AsyncGenerator<StoredEvent[], void, undefined> {
  const start = after === null ? START : fromPosition(after)
  try {
    for await (const events of batches(client.readAll({ ...call, fromPosition: start }, BUFFER))) {
      const stored = events.filter(({ streamId }) => !isSystemStream(streamId)).map(toStoredEvent)
      // The server begins with the event at the position itself, which is not wanted.
      const next = stored[0]?.position === after ? stored.slice(1) : stored
      if (next.length > 0) yield next
    }
  } catch (error) {
    throw readError(error)
  }
}

/** Up to `BATCH` events from a position on (null: the start), with the event there and those of the server itself. */
export async function readFrom({ client, call }: Connection, from: string | null): Promise<StoredEvent[]> {
  const start = from === null ? START : fromPosition(from)
  const found: StoredEvent[] = []
  for await (const events of batches(client.readAll({ ...call, fromPosition: start, maxCount: BATCH })))
    found.push(...events.map(toStoredEvent))
  return found
}

/**
 * The event at a position; null if there is none at exactly this position, `'never'` if the position is inside of an
 * event. The server knows the places of events that a scavenge has removed, so that they are not taken for such.
 */
export async function readAt(
  { client, call }: Connection,
  position: string,
): Promise<StoredEvent | null | 'never'> {
  if (!isPosition(position)) return null
  const options = { ...call, fromPosition: fromPosition(position), maxCount: 1 }
  try {
    for await (const [first] of batches(client.readAll(options))) {
      // If the event was removed, or this is another log, the server gives the next event.
      const found = first && toStoredEvent(first)
      return found?.position === position ? found : null
    }
    return null
  } catch (error) {
    if (isInvalidPosition(error)) return 'never'
    throw readError(error)
  }
}

/**
 * The position of the newest event, which may be that of another application or of the server; null in an empty log.
 */
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
 * The events of a read, in batches. The call is always cancelled in the end; otherwise it would stay open on the
 * server, which takes only a hundred.
 * @throws the error of the read; StoreUnavailableError after `CALL_MS` of silence
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
