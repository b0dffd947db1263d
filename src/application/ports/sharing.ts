import type { StoredEvent } from '../../domain/events.ts'

/** What a process says of itself when it asks for a lease. */
export interface LeaseRequest {
  /** Made anew at each start of the process. */
  id: string
  ttlMs: number
  /** In seconds. */
  lag: number
  /** Has it caught up with the log since it has the lease? */
  caughtUp: boolean
}

/**
 * The number of the term, higher than any before. Null if another process leads, with what that last said of itself.
 */
export type Lease = { term: number } | { term: null; lag: number; caughtUp: boolean }

/** A place in a queue. `holds` says what it is for, to those who stand behind it. */
export type Queued = { id: string; holds: string }

/** It ends by itself after `ttlMs`, since the process that made it may have died. */
export type Reservation = Queued & { ttlMs: number }

export interface Watch {
  /**
   * Has every change been announced that was acknowledged more than a second ago? Only then may a document be believed
   * that was read earlier. Each call looks at the clocks, so that a process that was suspended notices.
   */
  isLive(): boolean
  /**
   * False where a document that has just been read may be from before a change that others have acknowledged: then it
   * decides only while the watch is live. Left out: it decides for a moment.
   */
  trustsLookUps?: false
  close(): Promise<void>
}

/** Hears what has been applied to the documents. */
export interface Follower {
  /** The documents may be older than they were, or what comes may be of another log: from here on it is applied. */
  begins(): void
  /** These events have been applied, in log order, and so has everything before them. */
  applied(events: readonly StoredEvent[]): void
}
