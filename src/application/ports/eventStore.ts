import type { NewEvent, StoredEvent } from '../../domain/events.ts'

/** What a stream must look like for an append to take effect: its newest revision, or that it has no event. */
export type ExpectedRevision = number | 'no_stream'

export interface Appended {
  /** Revision of the last event of this append. */
  revision: number
  /** Opaque; sorts as text in log order. */
  position: string
}

/**
 * One step of a subscription: events in log order, and whether they reach the end of the log as it was then. A step
 * without events that is not caught up means that there are events which have not come yet.
 */
export interface Batch {
  events: StoredEvent[]
  caughtUp: boolean
  /**
   * Where they reach the end as it was a while ago: when, in milliseconds of `performance.now()`. Events that came since
   * may be missing.
   */
  asOf?: number
  /** The connection to the store was lost, so that what comes next may be the log of another one. There are no events. */
  interrupted?: true
}

export interface EventStore {
  /**
   * Appends 1 to 100 events, all or none. If the same append (ids, order, `expected`) is sent again, it takes effect
   * only once and gets the first answer again, however far the stream has grown since.
   * @throws ConflictError the stream is not at `expected`
   * @throws StoreUnavailableError nothing was written
   * @throws UnknownOutcomeError the events may or may not have been written: send the same append again
   */
  append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<Appended>
  /** The events of one stream from a revision on, oldest first; none if there is no such stream. */
  readStream(stream: string, fromRevision?: number, limit?: number): Promise<StoredEvent[]>
  /**
   * The event at a position. Null if there is none: the log ends before it, has positions of another kind, or retention
   * has taken the event. `'never'` where the store knows that no event has ever begun there: the position is that of
   * another log. A damaged event has `metadata` null.
   * @throws StoreReplacedError
   */
  at(position: string): Promise<StoredEvent | null | 'never'>
  /** All events after a position (null: from the start) in log order, in batches. */
  readAll(after: string | null): AsyncIterable<StoredEvent[]>
  /**
   * Events after a position whose stream's name begins with one of `prefixes`: first those of the past, then new ones
   * as they come. It ends only when `signal` is aborted; failures of the store are retried inside.
   */
  subscribe(after: string | null, prefixes: readonly string[], signal: AbortSignal): AsyncIterable<Batch>
  /**
   * Removes the first events of a stream for good, up to a revision, some at each call. The events that are left keep
   * their revisions and positions. A store that removes events by their age itself does not have this method.
   * @returns whether there are more to remove
   * @throws StoreUnavailableError; DamagedError one of the events is not what was written: it stays, and so do those
   *   behind it
   */
  sweep?(stream: string, upTo: number): Promise<boolean>
  /** Position of the newest event, null in an empty log. Also serves as the health check. */
  head(): Promise<string | null>
  /** Did the last write succeed? The store retries failed writes itself. Absent where only a write can show it. */
  isWritable?(): boolean
  /** Bytes of the write-ahead log, which SQLite cannot move into the file while somebody reads an older state of it. */
  unmovedBytes?(): number
  close(): Promise<void>
}
