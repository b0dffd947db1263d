const LOOK_MS = 5
/** How much of the time since the look before counts at most. */
const MOST_MS = 10

let [able, lookedAt] = [0, performance.now()]
let looking: NodeJS.Timeout | null = null

function look(): void {
  const now = performance.now()
  able += Math.min(now - lookedAt, MOST_MS)
  lookedAt = now
}

/**
 * For bounds on how long something takes that others do: a busy machine lets nobody run for a while, neither them nor
 * this process, and such pauses do not count. Not for what may hold the event loop of this process.
 * @returns how many milliseconds have passed since, as far as this process was able to run
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
