import { setTimeout as sleep } from 'node:timers/promises'
import type { EventStore } from '../ports/eventStore.ts'
import { StoreMisconfiguredError, StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'

/** How long somebody goes on asking an event store that does not answer, or not in time. */
export interface Patience {
  /** No try begins later than so many milliseconds after the first one. */
  ms: number
  /** The pause after the first try. It doubles after each further one. Default: `PAUSE_MS.first`. */
  firstPauseMs?: number
  /** Is a store that cannot be reached waited for as well, or only one whose answer was lost? */
  outages: boolean
  /** Called before each pause. What it throws ends the tries. */
  onPause?: (error: Error) => void
  /** Waited for before each further try. What it throws ends the tries. */
  beforeRetry?: () => Promise<void>
  /** Aborted: no further try is made. */
  signal?: AbortSignal
}

/** How long a change waits for its event store unless a setting says otherwise, in milliseconds. */
export const CHANGE_MS = 10_000

/**
 * How long one call may take, in milliseconds, however long a change waits. Whoever takes over the event store from a
 * process that does not answer relies on it that nothing of that process is under way for longer.
 */
export const LONGEST_CALL_MS = 2_500

/** The share of one call in the time of a change. */
export const callMsOf = (changeMs: number): number => Math.min(LONGEST_CALL_MS, Math.ceil(changeMs / 4))

/**
 * For a change that somebody waits for. One call is for reading, and one for the last attempt. In the time between, an
 * append with an unknown outcome is sent again.
 */
export const patienceOfChange = (changeMs = CHANGE_MS): Patience => ({
  ms: changeMs - 2 * callMsOf(changeMs),
  outages: false,
})

/** For an import, a roll-up and whatever else nobody waits for: as long as a server may need to be mended. */
export const BULK_PATIENCE: Patience = { ms: 600_000, outages: true }

/** For what somebody reads with a command: longer than servers need to elect one of them. */
export const READ_PATIENCE: Patience = { ms: 30_000, outages: true }

/** Pauses between tries: how long the first is, and how long one may become. */
const PAUSE_MS = { first: 100, longest: 5_000 }

/** Starts to count the time. @returns a function that resolves when the next try may begin, or else throws the error */
export function startTries(patience: Patience): (error: unknown) => Promise<void> {
  const { ms, signal, firstPauseMs = PAUSE_MS.first } = patience
  const started = performance.now()
  let pause = firstPauseMs
  return async (error) => {
    const isOver = performance.now() - started + pause > ms || signal?.aborted
    if (isOver || !mayPass(error, patience)) throw error
    patience.onPause?.(error)
    const isGoingOn = await pausing(pause, signal)
    if (!isGoingOn) throw error
    pause = Math.min(pause * 2, PAUSE_MS.longest)
    await patience.beforeRetry?.()
  }
}

/** @returns false if it was aborted */
const pausing = (ms: number, signal?: AbortSignal): Promise<boolean> =>
  sleep(ms, true, { signal }).catch(() => false)

function mayPass(error: unknown, { outages }: Patience): error is Error {
  if (error instanceof UnknownOutcomeError) return true
  const isOutage = error instanceof StoreUnavailableError && !(error instanceof StoreMisconfiguredError)
  return outages && isOutage
}

/** Makes a call that may be repeated outlast an outage. */
export const patiently =
  (patience: Patience) =>
  <A extends unknown[], T>(call: (...args: A) => Promise<T>) =>
  async (...args: A): Promise<T> => {
    const next = startTries(patience)
    for (;;) {
      try {
        return await call(...args)
      } catch (error) {
        await next(error)
      }
    }
  }

/** A store whose reads outlast an outage. A read of the whole log goes on behind the last event that it gave. */
export function patientReads(store: EventStore, patience: Patience): EventStore {
  const patient = patiently(patience)
  return {
    ...store,
    readStream: patient(store.readStream),
    at: patient(store.at),
    head: patient(store.head),
    async *readAll(after) {
      let position = after
      for (let next = startTries(patience); ; ) {
        try {
          for await (const events of store.readAll(position)) {
            yield events
            position = events.at(-1)?.position ?? position
            next = startTries(patience)
          }
          return
        } catch (error) {
          await next(error)
        }
      }
    },
  }
}
