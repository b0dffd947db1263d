import { setTimeout as sleep } from 'node:timers/promises'
import type { NewEvent } from '../../domain/events.ts'
import type { Appended, EventStore, ExpectedRevision } from '../ports/eventStore.ts'
import { StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'
import type { Telemetry } from '../ports/telemetry.ts'

export interface AppendTelemetry extends Pick<Telemetry, 'appended'> {
  log: Pick<Telemetry['log'], 'warn'>
}

/**
 * No attempt begins later than this. If a store does not answer at all, three attempts of a second each are made, so
 * that a command is answered with 503 within 5 s. The append may still take effect; the same command recognises it
 * then.
 */
const LAST_ATTEMPT_MS = 2400
/** The pause after the first attempt; it doubles after each further one. */
const PAUSE_MS = 100

/**
 * Appends until the outcome is known. After an unknown outcome the same append is sent again, with a pause, since the
 * store may still be busy with the first one and refuse the second until then. By the port's contract it takes effect
 * only once.
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
      // This attempt has written nothing, but the one before may have, so the outcome is still unknown.
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
 * The limits of one append. EventStoreDB refuses appends of more than 1 MiB, and smaller ones than that can already
 * make it drop live subscriptions. This many events can be made, linked and written in a few milliseconds.
 */
export const PER_APPEND = { events: 100, bytes: 128 * 1024 }

/** The events of the first append. It depends on the events alone, so that a retry sends exactly the same append. */
export function firstAppend(queue: readonly NewEvent[]): NewEvent[] {
  let bytes = 0
  const end = queue.findIndex((event, i) => {
    bytes += Buffer.byteLength(JSON.stringify(event))
    return i > 0 && (i >= PER_APPEND.events || bytes > PER_APPEND.bytes)
  })
  return end < 0 ? [...queue] : queue.slice(0, end)
}
