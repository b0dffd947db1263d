import { setTimeout as sleep } from 'node:timers/promises'
import type { NewEvent } from '../../domain/events.ts'
import type { Appended, EventStore, ExpectedRevision } from '../ports/eventStore.ts'
import { StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'
import type { Telemetry } from '../ports/telemetry.ts'

export interface AppendTelemetry extends Pick<Telemetry, 'appended'> {
  log: Pick<Telemetry['log'], 'warn'>
}

/**
 * No attempt begins later than this. A store that does not answer at all is given up after three, of a second each, so
 * that a command answers 503 within 5 s; its append may still land, and the same command recognises it.
 */
const LAST_ATTEMPT_MS = 2400
const PAUSE_MS = 100

/**
 * Appends until the outcome is known: after an unknown one the same append is sent again, with a pause, since a store
 * may still be busy with the first and refuses the second until then. Effects once, by the port's contract.
 */
export async function appendUntilKnown(
  { store, telemetry }: { store: EventStore; telemetry: AppendTelemetry },
  stream: string,
  expected: ExpectedRevision,
  events: readonly NewEvent[],
): Promise<Appended> {
  const started = performance.now()
  let unknown: UnknownOutcomeError | undefined
  for (let pause = PAUSE_MS; ; pause *= 2) {
    try {
      const appended = await store.append(stream, expected, events)
      telemetry.appended((performance.now() - started) / 1000, events.length)
      return appended
    } catch (error) {
      // Of this attempt nothing was written, of the one before it perhaps.
      if (unknown && error instanceof StoreUnavailableError) throw unknown
      const outOfTime = performance.now() - started + pause > LAST_ATTEMPT_MS
      if (!(error instanceof UnknownOutcomeError) || outOfTime) throw error
      unknown = error
      telemetry.log.warn({ stream, err: error }, 'append with unknown outcome, sending it again')
      await sleep(pause)
    }
  }
}

/**
 * Larger appends drop live EventStoreDB subscriptions, and it takes none of more than 1 MiB. As many events as these are
 * made, linked and written in a few milliseconds.
 */
export const PER_APPEND = { events: 100, bytes: 128 * 1024 }

/** Depends on nothing but the events themselves, so that an append is sent again as it was. */
export function firstAppend(queue: readonly NewEvent[]): NewEvent[] {
  let bytes = 0
  const end = queue.findIndex((event, i) => {
    bytes += Buffer.byteLength(JSON.stringify(event))
    return i > 0 && (i >= PER_APPEND.events || bytes > PER_APPEND.bytes)
  })
  return end < 0 ? [...queue] : queue.slice(0, end)
}
