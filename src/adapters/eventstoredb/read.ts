import {
  type AllStreamResolvedEvent,
  BACKWARDS,
  END,
  type ResolvedEvent,
  START,
  type StreamingRead,
} from '@eventstore/db-client'
import type { StoredEvent } from '../../domain/events.ts'
import { arrivalsOf } from './arrivals.ts'
import type { Connection } from './connection.ts'
import { SilenceError } from './deadline.ts'
import { isInvalidPosition, isMissingStream, readError } from './errors.ts'
import { isSystemStream, type Recorded, toStoredEvent } from './event.ts'
import { kindOf } from './misconfigured.ts'
import { fromPosition, isPosition, toPosition } from './position.ts'

const READ_ALL = 'read $all, which by default only members of $admins may'

/** The error of a read as the port has it. @param what was to be read, as it is said in a message */
const failure = async ({ explain }: Connection, error: unknown, what: string): Promise<Error> =>
  (await explain(error, what)) ?? readError(error)

/** The greatest number of events in one batch. */
export const BATCH = 500
/** How many events may wait in memory, so that the next batch arrives while one is used. */
export const BUFFER = { highWaterMark: 2 * BATCH }

/** The events of a stream from a revision on; none if there is no such stream. */
export async function readStream(
  connection: Connection,
  stream: string,
  fromRevision: number,
  limit: number,
): Promise<StoredEvent[]> {
  if (limit <= 0) return []
  const { client, call } = connection
  const options = { ...call, fromRevision: BigInt(fromRevision), maxCount: BigInt(limit) }
  const found: StoredEvent[] = []
  try {
    for await (const events of batches(connection, client.readStream(stream, options, BUFFER))) {
      found.push(...events.map(toStoredEvent))
    }
  } catch (error) {
    if (isMissingStream(error)) return []
    throw await failure(connection, error, `read ${kindOf(stream)}`)
  }
  return found
}

/** All events after a position in log order, except for those of the server itself. */
export async function* readAll(
  connection: Connection,
  after: string | null,
): AsyncGenerator<StoredEvent[], void, undefined> {
  const { client, call } = connection
  const start = after === null ? START : fromPosition(after)
  try {
    for await (const events of batches(
      connection,
      client.readAll({ ...call, fromPosition: start }, BUFFER),
    )) {
      const stored = events.filter(({ streamId }) => !isSystemStream(streamId)).map(toStoredEvent)
      // The server begins with the event at the position itself, which is not wanted.
      const next = stored[0]?.position === after ? stored.slice(1) : stored
      if (next.length > 0) yield next
    }
  } catch (error) {
    throw await failure(connection, error, READ_ALL)
  }
}

/** Up to `BATCH` events from a position on (null: the start), with the event there and those of the server itself. */
export async function readFrom(connection: Connection, from: string | null): Promise<StoredEvent[]> {
  const { client, call } = connection
  const start = from === null ? START : fromPosition(from)
  const found: StoredEvent[] = []
  const read = client.readAll({ ...call, fromPosition: start, maxCount: BATCH })
  for await (const events of batches(connection, read)) found.push(...events.map(toStoredEvent))
  return found
}

/**
 * The event at a position; null if there is none at exactly this position, `'never'` if the position is inside of an
 * event. The server knows the places of events that a scavenge has removed, so that they are not taken for such.
 */
export async function readAt(
  connection: Connection,
  position: string,
): Promise<StoredEvent | null | 'never'> {
  const { client, call } = connection
  if (!isPosition(position)) return null
  const options = { ...call, fromPosition: fromPosition(position), maxCount: 1 }
  try {
    for await (const [first] of batches(connection, client.readAll(options))) {
      // If the event was removed, or this is another log, the server gives the next event.
      const found = first && toStoredEvent(first)
      return found?.position === position ? found : null
    }
    return null
  } catch (error) {
    if (isInvalidPosition(error)) return 'never'
    throw await failure(connection, error, READ_ALL)
  }
}

/**
 * The position of the newest event, which may be that of another application or of the server; null in an empty log.
 */
export async function head(connection: Connection): Promise<string | null> {
  const { client, call } = connection
  const options = { ...call, direction: BACKWARDS, fromPosition: END, maxCount: 1 } as const
  try {
    for await (const [newest] of batches(connection, client.readAll(options)))
      return toPosition(newest?.position)
    return null
  } catch (error) {
    throw await failure(connection, error, READ_ALL)
  }
}

/**
 * The events of a read, in batches. The call is always cancelled in the end; otherwise it would stay open on the
 * server, which takes only a hundred.
 * @throws the error of the read; SilenceError after `callMs` milliseconds without any
 */
async function* batches(
  { callMs, answered }: Connection,
  read: StreamingRead<ResolvedEvent | AllStreamResolvedEvent>,
): AsyncGenerator<Recorded[], void, undefined> {
  const arrivals = arrivalsOf<ResolvedEvent>(read)
  try {
    for (;;) {
      const events = arrivals.take(BATCH).flatMap(({ event }) => (event ? [event as Recorded] : []))
      if (events.length > 0 || arrivals.ended()) answered()
      if (events.length > 0) yield events
      else if (arrivals.ended()) return
      else if (!(await arrivals.next(callMs))) throw new SilenceError()
    }
  } finally {
    read.cancel().catch(() => {})
  }
}
