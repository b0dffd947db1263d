import { setTimeout as sleep } from 'node:timers/promises'
import { BusyError } from './errors.ts'

const PAUSE_MS = { first: 2, longest: 100 }
/** Longer than any program that means well keeps a file. */
const PATIENCE_MS = 2_000

/**
 * Does what another program may be in the way of: while that has the file locked, this tries again after a growing
 * pause, and the event loop goes on.
 * @throws BusyError the file was locked all the time
 */
export async function whenFree<T>(work: () => T): Promise<T> {
  const giveUpAt = performance.now() + PATIENCE_MS
  for (let tries = 0; ; tries++) {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof BusyError) || performance.now() >= giveUpAt) throw error
    }
    await sleep(pauseAfter(tries))
  }
}

/** Milliseconds. */
export const pauseAfter = (tries: number): number =>
  Math.min(PAUSE_MS.longest, PAUSE_MS.first * 2 ** Math.min(tries, 10))
