/** Milliseconds since 1970, UTC. */
export type Clock = () => number

/** A moment by two clocks: the monotonic one stands still while the machine is suspended, the other can be set. */
export interface Instant {
  monotonic: number
  wall: number
}

export const now = (): Instant => ({ monotonic: performance.now(), wall: Date.now() })

/** Milliseconds since, by the clock that says more. */
export const ageOf = (then: Instant, at: Instant = now()): number =>
  Math.max(at.monotonic - then.monotonic, at.wall - then.wall)

export const older = (a: Instant, b: Instant): Instant => (a.monotonic < b.monotonic ? a : b)

/** RFC 3339 UTC with milliseconds. */
export const iso = (millis: number): string => new Date(millis).toISOString()
