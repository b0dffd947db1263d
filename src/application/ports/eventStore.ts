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
 * without events that does not reach it says that the store has been lost sight of: what comes next may be of another.
 */
export interface Batch {
  events: StoredEvent[]
  caughtUp: boolean
}

export interface EventStore {
  /**
   * Appends 1 to 100 events, all or none. The same append (ids, order, `expected`) sent again takes effect once and
   * gives its first answer, however far the stream has grown since.
   * @throws ConflictError the stream is not at `expected`
   * @throws StoreUnavailableError nothing was written
   * @throws UnknownOutcomeError it may or may not have been written: send the same append again
   */
  append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<Appended>
  /** The events of one stream from a revision on, oldest first; none if there is no such stream. */
  readStream(stream: string, fromRevision?: number, limit?: number): Promise<StoredEvent[]>
  /**
   * The event at a position; null where there is none, since the log ends before it, or has other positions, or
   * retention took it. One that is damaged has `metadata` null.
   * @throws StoreReplacedError
   */
  at(position: string): Promise<StoredEvent | null>
  /** All events after a position (null: from the start) in log order, in batches. */
  readAll(after: string | null): AsyncIterable<StoredEvent[]>
  /**
   * Events after a position whose stream begins with one of `prefixes`: the past, then what comes. Ends only when
   * `signal` is aborted; failures of the store are retried inside.
   */
  subscribe(after: string | null, prefixes: readonly string[], signal: AbortSignal): AsyncIterable<Batch>
  /**
   * Takes the first events of a stream up to a revision out for good, some at a time; revisions and positions of what
   * is left stay. A store that lets events go by their age itself has none of this.
   * @returns whether there are more to take
   * @throws StoreUnavailableError; DamagedError one of them is not what was written: it stays, and those behind it
   */
  sweep?(stream: string, upTo: number): Promise<boolean>
  /** Position of the newest event, null in an empty log. Also the health check. */
  head(): Promise<string | null>
  /** Could the last write be written? What could not be is tried again by itself. Left out: only who writes knows. */
  isWritable?(): boolean
  /** Bytes that cannot be moved into the store's file while somebody reads what was there before. */
  unmovedBytes?(): number
  close(): Promise<void>
}
