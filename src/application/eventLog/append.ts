import type { NewEvent } from '../../domain/events.ts'
import type { Appended, EventStore, ExpectedRevision } from '../ports/eventStore.ts'
import { StoreMisconfiguredError, StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { type Patience, patienceOfChange, startTries } from './patience.ts'

export interface AppendTelemetry extends Pick<Telemetry, 'appended'> {
  log: Pick<Telemetry['log'], 'warn'>
}

/** For a command, which says on standard error what it waits for. */
export const QUIET: AppendTelemetry = { appended() {}, log: { warn() {} } }

export interface AppendDependencies {
  store: EventStore
  telemetry: AppendTelemetry
  /** Default: that of a change that somebody waits for. */
  patience?: Patience | undefined
}

/**
 * Appends until the outcome is known, or patience is over: every writer does it this way. After an unknown outcome the
 * same append is sent again, with a pause, since the store may still be busy with the first one and refuse the second
 * until then. By the port's contract it takes effect only once. A command that gives up is answered with 503; the append
 * may still take effect, and the same command recognises it then.
 */
export async function appendUntilKnown(
  { store, telemetry, patience = patienceOfChange() }: AppendDependencies,
  stream: string,
  expected: ExpectedRevision,
  events: readonly NewEvent[],
): Promise<Appended> {
  const started = performance.now()
  const next = startTries(patience)
  let unknown: UnknownOutcomeError | undefined
  let isLogged = false
  for (;;) {
    try {
      const appended = await store.append(stream, expected, events)
      telemetry.appended((performance.now() - started) / 1000, events.length)
      return appended
    } catch (error) {
      if (error instanceof UnknownOutcomeError) unknown = error
      await next(error).catch((last: unknown) => {
        // This attempt has written nothing, but one before may have, so the outcome is still unknown.
        throw unknown && last instanceof StoreUnavailableError ? stillUnknown(unknown, last) : last
      })
      if (!isLogged) telemetry.log.warn({ stream, err: error }, 'append not confirmed, sending it again')
      isLogged = true
    }
  }
}

const stillUnknown = (unknown: UnknownOutcomeError, last: StoreUnavailableError): UnknownOutcomeError =>
  last instanceof StoreMisconfiguredError ? new UnknownOutcomeError(last.message, { cause: last }) : unknown

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
