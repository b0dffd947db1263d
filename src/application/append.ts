import { setTimeout as sleep } from 'node:timers/promises'
import type { NewEvent } from '../domain/events.ts'
import {
  type Appended,
  type EventStore,
  type ExpectedRevision,
  StoreUnavailableError,
  type Telemetry,
  UnknownOutcomeError,
} from './ports.ts'

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
