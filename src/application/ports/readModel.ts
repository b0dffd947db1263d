import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import type { Checkpoint, Step } from './checkpoints.ts'
import type { Condition, Document, Query } from './documents.ts'
import type { NextGeneration } from './nextGeneration.ts'
import type { LeaseRequest, Lease, Queued, Reservation, Watch } from './sharing.ts'

/**
 * A store of documents, as the sum of its roles: a use case takes the roles that it needs. The documents of a version
 * exist in generations. All roles but `Rebuildable` read and write the live one.
 */
export interface ReadModel
  extends DocumentReader,
    ProjectionTarget,
    Losses,
    Rebuildable,
    Leases,
    Reservations,
    Versions,
    Watchable {
  /** A shell command that deletes the whole read model; to be used while no service runs. */
  remedy: string
  ping(): Promise<void>
  /** Did the last write succeed? The store retries failed writes itself. Absent where only a write can show it. */
  isWritable?(): boolean
  /** Bytes of the write-ahead log, which SQLite cannot move into the file while somebody reads an older state of it. */
  unmovedBytes?(): number
  close(): Promise<void>
}

/** What queries read. */
export interface DocumentReader {
  /** @throws StoreUnavailableError; DamagedError for a document that is not what was written */
  get(collection: string, id: string): Promise<Document | null>
  /**
   * A query gives the event loop to others every few milliseconds, however long it takes; only a look-up of one
   * document is answered at once. So a document that changes meanwhile may be in the answer in its old or its new form,
   * and one that moves in the order may be left out; none is in it twice.
   * @throws as `get`; RangeError if no index serves the query; the reason that `signal` was aborted with
   */
  find(collection: string, query: Query, signal?: AbortSignal): Promise<Document[]>
  /** How many documents match, counted up to `limit`. One index must know all the conditions. Throws as `find`. */
  count(collection: string, where: readonly Condition[], limit: number, signal?: AbortSignal): Promise<number>
}

/** What projections fill. */
export interface ProjectionTarget {
  /** Makes whatever these projections need and is missing, also where it was lost. */
  open(projections: readonly Projection[]): Promise<void>
  /** How far this version of the projection, with all of its documents, has come; null if it has seen no event yet. */
  checkpoint(projection: Projection): Promise<Checkpoint | null>
  /**
   * Applies changes in order, each under its guard, so that a second application changes nothing. Checkpoints move
   * after the documents, and never back. Without a step (for a command), the changes are written to both generations
   * while a rebuild has dual writes, and the promise resolves only when it is certain that the documents are still
   * those of the model that was opened.
   * @throws StoreUnavailableError; LeadershipLostError the documents have not come as far as `step.from`, or are not
   *   those that were filled; RefusedChangeError the store will never take one of the changes; DamagedError the store
   *   as a whole is not what was written. In all cases the checkpoints have not moved
   */
  apply(changes: readonly DocumentChange[], step?: Step): Promise<void>
}

/** Whether the documents are still those that were written. */
export interface Losses {
  /**
   * Why the read model is lost, and what helps: it was dropped, emptied, or replaced by an older one. Then nothing of
   * it is read any more, until somebody who has seen it catch up with the log again calls `trust`. Null if it is not
   * lost.
   */
  loss(): string | null
  /** How often it was lost so far. It counts only losses after which the process that follows the log can refill it. */
  losses(): number
  /** @param losses as it was when the refilling began. @throws LeadershipLostError it has been lost again since */
  trust(losses: number): Promise<void>
}

/** A rebuild fills the next generation of documents, beside the live one. */
export interface Rebuildable {
  /**
   * Begins the next generation of some projections, or resumes it. This does not disturb the live generation, and needs
   * no right to write it.
   * @throws RebuildUnderWayError; StoreUnavailableError
   */
  next(projections: readonly Projection[]): Promise<NextGeneration>
  /** A generation that another process has filled and handed over, since only this process may make it the live one. */
  handedOver(): Promise<NextGeneration | null>
}

// Several processes may share a read model. A store that belongs to a single process gives the trivial answers to what
// follows.

/** Which one process follows the log. */
export interface Leases {
  /**
   * Acquires or renews the lease of the one process that follows the log for `group`. It lasts until `ttlMs` have
   * passed without a renewal. While a process has it, the others get its `lag` (seconds) and `caughtUp`.
   * @throws StoreUnavailableError nobody knows who has the lease, so the caller must not lead
   */
  acquireLease(group: string, request: LeaseRequest): Promise<Lease>
  /** Releases the lease, for the next process that asks. Does nothing if another process has it. */
  releaseLease(group: string, id: string): Promise<void>
}

/** Queues of processes that want the same thing. */
export interface Reservations {
  /** Takes the last place in a queue, whose order is the same for all processes. @returns the queue */
  reserve(key: string, reservation: Reservation): Promise<Queued[]>
  queue(key: string): Promise<Queued[]>
  release(key: string, id: string): Promise<void>
}

/** Which versions of projections may be read. */
export interface Versions {
  /** Declares that these versions have caught up with the log, so that readers may use their collections. */
  publish(projections: readonly Projection[]): Promise<void>
  /** Has some process published these versions? */
  isPublished(projections: readonly Projection[]): Promise<boolean>
}

export interface Watchable {
  /**
   * Calls `onChanged` with the ids of documents that have changed in one of `fields`, whoever changed them; null means
   * that any document may have changed. It starts at once and restarts itself after failures, until it is closed.
   * `onLost` is called for the first failure in a row.
   */
  watch(
    collection: string,
    fields: readonly string[],
    onChanged: (ids: ReadonlySet<string> | null) => void,
    onLost?: (error: unknown) => void,
  ): Watch
}
