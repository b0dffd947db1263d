const LOOK_MS = 5
/** How much of the time since the last look counts at most, in milliseconds. */
const MOST_MS = 10

let [able, lookedAt] = [0, performance.now()]
let looking: NodeJS.Timeout | null = null

function look(): void {
  const now = performance.now()
  able += Math.min(now - lookedAt, MOST_MS)
  lookedAt = now
}

/**
 * For limits on how long other processes take. A busy machine sometimes lets nobody run, neither them nor this process,
 * and such pauses do not count. Do not use it for work that may hold the event loop of this process.
 * @returns a function that gives the milliseconds since then, as far as this process was able to run
 */
export function stopwatch(): () => number {
  looking ??= setInterval(look, LOOK_MS).unref()
  look()
  const from = able
  return () => {
    look()
    return able - from
  }
}

/** @returns NaN for no values */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
