/** Milliseconds since 1970, UTC. */
export type Clock = () => number

/**
 * A moment by two clocks, in milliseconds. Neither is enough alone: the monotonic one stands still while the machine is
 * suspended, and the wall clock can be set.
 */
export interface Instant {
  monotonic: number
  wall: number
}

export const now = (): Instant => ({ monotonic: performance.now(), wall: Date.now() })

/** Milliseconds since a moment, by whichever clock shows more. */
export const ageOf = (then: Instant, at: Instant = now()): number =>
  Math.max(at.monotonic - then.monotonic, at.wall - then.wall)

export const older = (a: Instant, b: Instant): Instant => (a.monotonic < b.monotonic ? a : b)

/** The time as text: RFC 3339, UTC, with milliseconds. */
export const iso = (millis: number): string => new Date(millis).toISOString()
