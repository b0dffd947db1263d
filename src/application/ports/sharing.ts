export interface LeaseRequest {
  /** Of this process start. */
  id: string
  ttlMs: number
  lag: number
  /** Has it caught up with the log in its term? */
  caughtUp: boolean
}

/** The fencing number of the term, higher than any before; or null, and what the leader last said of itself. */
export type Lease = { term: number } | { term: null; lag: number; caughtUp: boolean }

/** `holds`: what it is about, for those behind it. */
export type Queued = { id: string; holds: string }

/** After `ttlMs` it is gone by itself: whoever made it may be gone, too. */
export type Reservation = Queued & { ttlMs: number }

export interface Watch {
  /**
   * Has everything that was acknowledged a second ago been told? Only then may what was read earlier be believed. A
   * monotonic clock is looked at on every call, so that a process that slept knows it.
   */
  isLive(): boolean
  close(): Promise<void>
}
