import type { Connection } from './connection.ts'
import { BATCH, readFrom } from './read.ts'

/** The pause between two looks while the reader is behind, in milliseconds. */
const PAUSE_MS = 100

/** Whether the reader of a subscription has everything that it wants of the log. */
export interface EndOfLog {
  /** The reader has been given the events up to this position. */
  gave(position: string): void
  /** The server has passed this position: no event that is not given yet, or waits to be, comes before it. */
  passed(position: string): void
  /** When the end was asked for that the reader has got to now, in milliseconds of `performance.now()`; else null. */
  reached(): number | null
  /** Milliseconds until it makes sense to look again. */
  restMs(): number
  /**
   * Asks the server for what the reader has not got yet.
   * @returns whether there is nothing
   * @throws errors of the client; StoreUnavailableError if the server does not answer
   */
  look(): Promise<boolean>
}

/**
 * A server says that a subscription has caught up, but not that it has fallen behind again: some read on from the log
 * then, by themselves, while their live subscriber hears nothing. So the log itself is looked at, behind the reader.
 * @param after where the subscription begins
 */
export function createEndOfLog(
  connection: Connection,
  prefixes: readonly string[],
  after: string | null,
): EndOfLog {
  let given = after ?? ''
  let from = after
  /** The newest event that the last look has found, which the reader lacked and has not got yet. */
  let goal: string | null = null
  let asked = 0
  let restsUntil = 0

  function pass(position: string): void {
    if (position > (from ?? '')) from = position
  }

  return {
    gave(position) {
      given = position
      pass(position)
    },
    passed: pass,
    reached() {
      if (goal === null || given < goal) return null
      goal = null
      return asked
    },
    restMs: () => Math.max(0, restsUntil - performance.now()),

    async look() {
      goal = null
      for (;;) {
        asked = performance.now()
        const events = await readFrom(connection, from)
        restsUntil = performance.now() + PAUSE_MS
        const isAll = events.length < BATCH
        const missing = events.filter(
          ({ stream, position }) => position > given && prefixes.some((prefix) => stream.startsWith(prefix)),
        )
        if (missing.length > 0) {
          if (isAll) goal = missing.at(-1)?.position ?? null
          return false
        }
        if (isAll) return true
        pass(events.at(-1)?.position ?? '')
      }
    },
  }
}
