import { ageOf, type Instant } from '../ports/clock.ts'

/**
 * Notices that this process did nothing for a while: it was stopped, its machine was suspended, or something held the
 * event loop. Nobody can say what others have done meanwhile.
 */
export interface Vigil {
  /** How often it has slept so far. */
  sleeps(): number
  /** Has it slept since somebody found out what others have done? */
  hasSlept(): boolean
  /** Somebody has found out what others have done, up to this many sleeps. */
  caughtUpWith(sleeps: number): void
  stop(): void
}

/** How often a look at the clocks is taken while a process is awake, as a share of the time that counts as a sleep. */
const LOOKS = 8

export function createVigil(now: () => Instant, limitMs: number): Vigil {
  let seen = now()
  let sleeps = 0
  let known = 0

  function look(): number {
    const at = now()
    if (ageOf(seen, at) > limitMs) sleeps++
    seen = at
    return sleeps
  }

  const timer = setInterval(look, limitMs / LOOKS).unref()
  return {
    sleeps: look,
    hasSlept: () => look() > known,
    caughtUpWith(upTo) {
      known = upTo
    },
    stop: () => clearInterval(timer),
  }
}
