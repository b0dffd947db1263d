import { NO_STREAM } from '@eventstore/db-client'
import type { Appended, ExpectedRevision } from '../../application/ports/eventStore.ts'
import { ConflictError, StoreUnavailableError } from '../../application/ports/errors.ts'
import type { NewEvent } from '../../domain/events.ts'
import type { Connection } from './connection.ts'
import { SilenceError, withinDeadline } from './deadline.ts'
import { appendError, deleted, tooLarge } from './errors.ts'
import { sizeOf, toJsonEvent } from './event.ts'
import { kindOf } from './misconfigured.ts'
import { toPosition } from './position.ts'

const MAX_EVENTS = 100
const MAX_BYTES = 1024 * 1024

/** What the server keeps of streams whose name begins with `prefix`. */
export interface StreamLimit {
  prefix: string
  /** Seconds that it keeps an event, or how many of the newest events. */
  keeps: { maxAge: number } | { maxCount: number }
}

/** @throws RangeError for an append that no server would ever accept */
export function assertAppendable(
  stream: string,
  expected: ExpectedRevision,
  events: readonly NewEvent[],
): void {
  if (expected !== 'no_stream' && (!Number.isSafeInteger(expected) || expected < 0)) {
    throw new RangeError(`${expected} is no revision`)
  }
  if (events.length === 0 || events.length > MAX_EVENTS) {
    throw new RangeError(`an append has 1 to ${MAX_EVENTS} events, not ${events.length}`)
  }
  if (events.reduce((sum, event) => sum + sizeOf(event), 0) > MAX_BYTES) throw tooLarge(stream)
}

/** Sends one append, once, and waits for the answer for up to `deadline` milliseconds. Throws as the port says. */
export async function append(
  { client, call, explain, answered }: Connection,
  stream: string,
  expected: ExpectedRevision,
  events: readonly NewEvent[],
  deadline: number,
): Promise<Appended> {
  const expectedRevision = expected === 'no_stream' ? NO_STREAM : BigInt(expected)
  const { nextExpectedRevision, position } = await withinDeadline(
    client.appendToStream(stream, events.map(toJsonEvent), { ...call, expectedRevision, deadline }),
    deadline,
  ).catch(async (error: unknown) => {
    // Silence proves nothing, whatever the server says of itself now.
    const lasting = error instanceof SilenceError ? null : await explain(error, `append to ${kindOf(stream)}`)
    throw lasting ?? appendError(stream, error)
  })
  answered()
  // If a deleted stream gets its old events again, the server reports success, but writes nothing and gives no
  // position.
  if (!position) throw deleted(stream)
  return { revision: Number(nextExpectedRevision), position: toPosition(position) }
}

/**
 * Sets what is kept of a stream. To be called before it has any event; if a limit is set already, it stays.
 * @throws StoreUnavailableError
 */
export async function limitStream(
  { client, call, callMs: deadline, explain }: Connection,
  stream: string,
  keeps: StreamLimit['keeps'],
): Promise<void> {
  const options = { ...call, expectedRevision: NO_STREAM, deadline } as const
  try {
    await withinDeadline(client.setStreamMetadata(stream, keeps, options), deadline)
  } catch (error) {
    const lasting = await explain(error, `set the age limit of ${kindOf(stream)}`)
    if (lasting) throw lasting
    const failure = appendError(stream, error)
    if (failure instanceof ConflictError) return
    throw new StoreUnavailableError(`nothing appended, the limit is not set: ${failure.message}`)
  }
}
