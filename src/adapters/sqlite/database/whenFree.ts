import { setTimeout as sleep } from 'node:timers/promises'
import { BusyError } from './errors.ts'

/** The pause between tries doubles from the first value to the longest. */
const PAUSE_MS = { first: 2, longest: 100 }
/** Longer than any well-behaved program keeps a file locked. */
const PATIENCE_MS = 2_000

/**
 * Does work that fails while another program has locked the file. Then it is tried again after growing pauses, without
 * blocking the event loop.
 * @throws BusyError if the file was locked all the time
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

/** The pause after so many tries, in milliseconds. */
export const pauseAfter = (tries: number): number =>
  Math.min(PAUSE_MS.longest, PAUSE_MS.first * 2 ** Math.min(tries, 10))
