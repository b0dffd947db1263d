import { ageOf, type Instant } from '../ports/clock.ts'

/**
 * Notices that this process did nothing for a while: it was stopped, its machine was suspended, or something held the
 * event loop. Nobody can say what others have done meanwhile.
 */
export interface Vigil {
  /** Has it slept since `awake` was last called? */
  hasSlept(): boolean
  awake(): void
  stop(): void
}

const TICK_MS = 500

export function createVigil(now: () => Instant, limitMs: number): Vigil {
  let seen = now()
  let slept = false

  function look(): boolean {
    const at = now()
    slept ||= ageOf(seen, at) > limitMs
    seen = at
    return slept
  }

  const timer = setInterval(look, TICK_MS).unref()
  return {
    hasSlept: look,
    awake() {
      slept = false
    },
    stop: () => clearInterval(timer),
  }
}
