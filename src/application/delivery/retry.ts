const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000]

/** The pauses after the first, the second, … attempt, in milliseconds, as Standard Webhooks 1.0 shows them. */
const DELAYS_MS = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
]
const LAST_DELAY_MS = 24 * HOUR
/** The least time for which an event is tried. */
const GIVE_UP_MS = 72 * HOUR
/** By how much of itself a pause is made longer, at most, so that what failed together is not tried together. */
const JITTER = 0.2

/**
 * The pause before the next attempt, in milliseconds; null if there is none.
 * @param attempts how many have failed
 * @param triedForMs the time since the first of them
 * @param wishedMs what whoever is told asks for instead
 */
export function pauseAfter(
  attempts: number,
  triedForMs: number,
  random: () => number,
  wishedMs?: number,
): number | null {
  if (attempts > DELAYS_MS.length && triedForMs >= GIVE_UP_MS) return null
  if (wishedMs !== undefined) return wishedMs
  return (DELAYS_MS[attempts - 1] ?? LAST_DELAY_MS) * (1 + random() * JITTER)
}
