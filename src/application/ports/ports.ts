import type { Principal } from '../../domain/principal.ts'
import type { NewEvent, StoredEvent } from '../../domain/events.ts'
import type { Change, Projection } from '../../../projections/projection.ts'
import type { Checkpoint, Step } from '../readModel/standing.ts'

export { ageOf, type Clock, type Instant, iso, now, older } from './clock.ts'
export type { Checkpoint, Place, Standing, Step } from '../readModel/standing.ts'

/** The outside world as the use cases need it. Adapters implement these; each port has one contract suite. */

// --- Event store ---------------------------------------------------------------------------------------------

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

/** Another append came first. `actual` is the stream's newest revision, -1 for a stream without events. */
export class ConflictError extends Error {
  override name = 'ConflictError'
  readonly actual: number

  constructor(stream: string, actual: number) {
    super(`${stream} is at revision ${actual}`)
    this.actual = actual
  }
}

/** The store did not do it and says so, or cannot be reached at all. */
export class StoreUnavailableError extends Error {
  override name = 'StoreUnavailableError'
}

/** What was opened is no longer what is in its place: somebody has moved, deleted or overwritten it. */
export class StoreReplacedError extends StoreUnavailableError {
  override name = 'StoreReplacedError'
}

/** The store was asked and its answer never came. */
export class UnknownOutcomeError extends Error {
  override name = 'UnknownOutcomeError'
}

// --- Read model ----------------------------------------------------------------------------------------------

export type Scalar = string | number | boolean | null
/** A document as it was projected. `id` is unique in its collection. */
export type Document = Record<string, unknown> & { id: string }

export type Condition =
  | { field: string; op: 'eq' | 'lt' | 'lte' | 'gte' | 'gt'; value: Scalar }
  /** Text that contains `value`. Fold both sides first for a search that ignores case. */
  | { field: string; op: 'contains'; value: string }
  | { field: string; op: 'in'; value: readonly string[] }
  | { any: readonly Condition[] }

/**
 * A query that an index of the collection serves: one whose first fields the conditions are equal to something in, and
 * whose last one is ordered by. What other conditions ask, each document in between is looked at for.
 */
export interface Query {
  where: readonly Condition[]
  /**
   * Ties break by id, ascending; null and absent values come last either way. Default: by id. `any`: as they are found,
   * for a look-up by ids or by a unique field.
   */
  order?: { field: string; descending?: boolean } | 'any'
  /** Continue behind the document with this value of the ordering field and this id. */
  after?: { value: Scalar; id: string }
  limit: number
}

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
   * @throws StoreUnavailableError; DeposedError the documents do not reach as far as these changes follow on, or are
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
  /** @throws DeposedError it has been lost more often than this */
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
  offered(): Promise<NextGeneration | null>

  // Several processes may share a read model. One that belongs to a single process answers these for itself.

  /**
   * Asks for the lead among the processes that could follow the log for `group`, or keeps it: one has it at a time,
   * until `ttlMs` pass without its asking again. `lag` (seconds) and `level` are what the others are told while it
   * leads.
   * @throws StoreUnavailableError nobody can tell: it does not lead
   */
  lead(group: string, candidate: Candidate): Promise<Lead>
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

export interface NextGeneration {
  /** What has to be filled: the projections asked for, and others that cannot be kept apart from them. */
  projections: readonly Projection[]
  /** Was the live one in use when this was begun, as far as can be told? */
  isServed: boolean
  checkpoint(projection: Projection): Promise<Checkpoint | null>
  /** Begins from nothing: what it was filled with so far is of another log. */
  anew(): Promise<void>
  /** As `ReadModel.apply`; what is applied in order may be on its way for a while before the checkpoint moves. */
  apply(changes: readonly Change[], step: Step): Promise<void>
  /**
   * Once it is filled. After it resolves, every change that commands make is applied to this generation as well, in
   * whatever process; those made before are in the log.
   * @returns `taken`: another process brought it level and has made it the live one: there is nothing left to do
   * @throws SharedValueError: it can be called again when each value is in one document only; so does `promote`
   */
  join(): Promise<'joined' | 'taken'>
  /**
   * Makes it the live one, for all readers at once in this process and within two seconds in others, who see every
   * change of a command on either side of the switch. The old one goes.
   * @returns false: the live one has come further in the log
   */
  promote(): Promise<boolean>
  /** Without a promotion it can be gone on with. */
  close(): Promise<void>
}

export interface Candidate {
  /** Of this process start. */
  id: string
  ttlMs: number
  lag: number
  /** Has it caught up with the log in its term? */
  level: boolean
}

/** `holds`: what it is about, for those behind it. */
export type Queued = { id: string; holds: string }
/** After `ttlMs` it is gone by itself: whoever made it may be gone, too. */
export type Reservation = Queued & { ttlMs: number }

/** The fencing number of the term, higher than any before; or null, and what the leader last said of itself. */
export type Lead = { term: number } | { term: null; lag: number; level: boolean }

export interface Watch {
  /**
   * Has everything that was acknowledged a second ago been told? Only then may what was read earlier be believed. A
   * monotonic clock is looked at on every call, so that a process that slept knows it.
   */
  isLive(): boolean
  close(): Promise<void>
}

/** Somebody fills the next generation already. */
export class RebuildUnderWayError extends Error {
  override name = 'RebuildUnderWayError'
}

/** Another process follows the log, or what was followed is no longer what there is. */
export class DeposedError extends Error {
  override name = 'DeposedError'
}

/**
 * The store has judged one of these changes and will not take it, however often it is asked. An outage is none of this,
 * nor a full disk, nor a store that only reads. Its message holds nothing of the documents.
 */
export class RefusedChangeError extends Error {
  override name = 'RefusedChangeError'
  /** `taken`: another document has the value of a field that each needs its own of. */
  readonly kind: 'taken' | 'refused'

  constructor(kind: RefusedChangeError['kind'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** Documents that were filled before anybody looked have the same value where each needs its own. */
export class SharedValueError extends Error {
  override name = 'SharedValueError'
  readonly collection: string
  /** Ids of the documents with the same value, some of these groups. */
  readonly groups: readonly (readonly string[])[]

  constructor(collection: string, groups: SharedValueError['groups']) {
    super(`${groups.length} values are in more than one document of ${collection}`)
    this.collection = collection
    this.groups = groups
  }
}

// --- The rest ------------------------------------------------------------------------------------------------

export interface JwtClaims {
  accountId: string
  scopes: string[]
}

export interface JwtVerifier {
  /** @returns why it was refused as text, for the log only. Never throws for a bad token. */
  verify(token: string): JwtClaims | { refused: string; expired: boolean }
}

export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** Lines that could not be written, and bytes that wait to be: of a log that knows. */
  linesLost?: () => number
  bytesWaiting?: () => number
}

/** A request that has ended, for its log line. Nothing of it is the caller's text but the ids, which are checked. */
export interface RequestEntry {
  method: string
  /** The route's pattern. */
  route: string
  /** 499 if the caller went away before the answer. */
  status: number
  ms: number
  requestId: string
  principal: Principal | null
  /** Whose it was, as far as can be told: of a request without a good credential, null for any other. */
  address: string | null
}

/** What the use cases report about themselves. */
export interface Telemetry {
  log: Logger
  authenticated(kind: 'token' | 'legacy' | 'jwt' | 'none', outcome: string): void
  appended(seconds: number, events: number): void
  projected(seconds: number, events: number): void
  usageLost(count: number): void
  /** An event was refused. `uses`: how many it tells of that are not in every count because of that. */
  damaged(kind: string, uses?: number): void
}
