import { setTimeout as sleep } from 'node:timers/promises'
import type { NewEvent } from '../domain/events.ts'
import {
  type Appended,
  type EventStore,
  type ExpectedRevision,
  type Telemetry,
  UnknownOutcomeError,
} from './ports.ts'

export interface AppendTelemetry extends Pick<Telemetry, 'appended'> {
  log: Pick<Telemetry['log'], 'warn'>
}

/** A command gives up and answers 503 after this; its append may still land, and the same command recognises it. */
const GIVE_UP_MS = 4000
const PAUSE_MS = 100

/**
 * Appends until the outcome is known: after an unknown one the same append is sent again, with a pause, since a store
 * may still be busy with the first. Effects once, by the port's contract.
 */
export async function appendUntilKnown(
  { store, telemetry }: { store: EventStore; telemetry: AppendTelemetry },
  stream: string,
  expected: ExpectedRevision,
  events: readonly NewEvent[],
): Promise<Appended> {
  const started = performance.now()
  for (let pause = PAUSE_MS; ; pause *= 2) {
    try {
      const appended = await store.append(stream, expected, events)
      telemetry.appended((performance.now() - started) / 1000, events.length)
      return appended
    } catch (error) {
      const outOfTime = performance.now() - started + pause > GIVE_UP_MS
      if (!(error instanceof UnknownOutcomeError) || outOfTime) throw error
      telemetry.log.warn({ stream, err: error }, 'append with unknown outcome, sending it again')
      await sleep(pause)
    }
  }
}
