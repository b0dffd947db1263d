import type { Change, Projection } from '../../../projections/projection.ts'
import type { Checkpoint, Step } from './checkpoints.ts'
import type { Condition, Document, Query } from './documents.ts'
import type { NextGeneration } from './nextGeneration.ts'
import type { LeaseRequest, Lease, Queued, Reservation, Watch } from './sharing.ts'

export interface ReadModel {
  /** The command that deletes it all, once no service runs. */
  remedy: string
  /** Makes what these projections need where it is missing, also where it was lost. */
  open(projections: readonly Projection[]): Promise<void>
  /** How far this version of the projection has come, and all of its documents with it; null: nothing yet. */
  checkpoint(projection: Projection): Promise<Checkpoint | null>
  /**
   * Applies changes in order, each under its guard, so that a second application changes nothing. Checkpoints are moved
   * after the documents, never before, and never back. Without a step, documents that a rebuild fills get the changes,
   * too, and it resolves only when the documents are known to be those of the model that was opened.
   * @throws StoreUnavailableError; LeadershipLostError the documents do not reach as far as these changes follow on, or are
   * others; RefusedChangeError one of the changes is never taken; DamagedError the store as a whole is not what was
   * written: the checkpoints did not move
   */
  apply(changes: readonly Change[], step?: Step): Promise<void>
  /**
   * Why it is not what it was known to be, and what helps: it was dropped, emptied, or an older one was put in its
   * place. Then nothing of it is read any more, until `trust` is called by whoever has seen it come as far as the log
   * again. Null: it is what it was.
   */
  loss(): string | null
  /** How often it was lost so far, and can be filled again by whoever follows the log. */
  losses(): number
  /** @throws LeadershipLostError it has been lost more often than this */
  trust(losses: number): Promise<void>
  /** @throws StoreUnavailableError; DamagedError for a document that is not what was written */
  get(collection: string, id: string): Promise<Document | null>
  /**
   * However long it takes, the event loop is left to others every few milliseconds; only a look-up of one document is
   * made at once. So what changes meanwhile may be in the answer as it was before or as it is after, and a document that
   * moves in the order may be left out; none comes twice.
   * @throws as `get`; RangeError no index serves it; what `signal` was aborted with
   */
  find(collection: string, query: Query, signal?: AbortSignal): Promise<Document[]>
  /** How many match, counting no further than `limit`. All conditions must be those of one index. Throws as `find`. */
  count(collection: string, where: readonly Condition[], limit: number, signal?: AbortSignal): Promise<number>
  ping(): Promise<void>
  /** Could the last write be written? What could not be is tried again by itself. Left out: only who writes knows. */
  isWritable?(): boolean
  /** Bytes that cannot be moved into the store's file while somebody reads what was there before. */
  unmovedBytes?(): number

  // Documents of a version exist in generations: a rebuild fills the next one beside the live one, which is the one that
  // everything above reads and writes.

  /**
   * The next generation of some projections, begun or gone on with. Takes nothing from the live one, and needs no right
   * to write that.
   * @throws RebuildUnderWayError; StoreUnavailableError
   */
  next(projections: readonly Projection[]): Promise<NextGeneration>
  /** One that another process has filled and leaves to this one to finish, since only this one may switch. */
  handedOver(): Promise<NextGeneration | null>

  // Several processes may share a read model. One that belongs to a single process answers these for itself.

  /**
   * Asks for the lead among the processes that could follow the log for `group`, or keeps it: one has it at a time,
   * until `ttlMs` pass without its asking again. `lag` (seconds) and `level` are what the others are told while it
   * leads.
   * @throws StoreUnavailableError nobody can tell: it does not lead
   */
  lead(group: string, request: LeaseRequest): Promise<Lease>
  /** Leaves the lead to the next who asks; nothing if it is somebody else's. */
  resign(group: string, id: string): Promise<void>
  /** Takes the last place in a queue, which has one order for all processes. @returns the queue */
  reserve(key: string, reservation: Reservation): Promise<Queued[]>
  queue(key: string): Promise<Queued[]>
  release(key: string, id: string): Promise<void>
  /** Declares that these versions have caught up with the log: readers of the collections may turn to them. */
  publish(projections: readonly Projection[]): Promise<void>
  /** Have these versions been published, by whichever process? */
  isPublished(projections: readonly Projection[]): Promise<boolean>
  /**
   * Tells which documents of a collection have changed in one of `fields`, whoever changed them; null: any may have.
   * Starts at once and goes on by itself after failures, until it is closed; `onLost` hears of the first one in a row.
   */
  watch(
    collection: string,
    fields: readonly string[],
    onChanged: (ids: ReadonlySet<string> | null) => void,
    onLost?: (error: unknown) => void,
  ): Watch
  close(): Promise<void>
}
