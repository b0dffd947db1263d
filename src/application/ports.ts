import type { Principal } from './principal.ts'
import type { NewEvent, StoredEvent } from '../domain/events.ts'
import type { Change, Projection } from '../../projections/projection.ts'

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
 * without events that does not reach it says that the store has been lost sight of.
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

export interface Query {
  where: readonly Condition[]
  /** Ties break by id, ascending; null and absent values come last either way. Default: by id. */
  order?: { field: string; descending?: boolean }
  /** Continue behind the document with this value of the ordering field and this id. */
  after?: { value: Scalar; id: string }
  limit: number
}

/** How far each projection has come in the log: nothing up to there is missing from its documents. */
export type Standing = ReadonlyMap<Projection, string | null>

/** A piece of the log, applied by whoever follows it. */
export interface Step {
  /** What the piece follows on: documents that have not come as far would miss something. Left out, nobody looks. */
  after?: Standing
  /** Where it ends. */
  position: string
  of: readonly Projection[]
  /** The one that `lead` gave. */
  term: number
}

export interface ReadModel {
  /** Makes the collections and indexes of these projections where they are missing. */
  open(projections: readonly Projection[]): Promise<void>
  /** How far this version of the projection has come; null: nothing yet. */
  checkpoint(projection: Projection): Promise<string | null>
  /**
   * Applies changes in order, each under its guard, so that a second application changes nothing. The checkpoint of
   * every projection named is moved after the documents, never before. Without a checkpoint, documents that a rebuild
   * fills get the changes, too.
   * @throws StoreUnavailableError; DeposedError another process has taken the lead, or the documents do not reach as
   * far as these changes follow on: the checkpoint did not move
   */
  apply(changes: readonly Change[], checkpoint?: Step): Promise<void>
  /** @throws StoreUnavailableError; DamagedError for a document that is not what was written */
  get(collection: string, id: string): Promise<Document | null>
  find(collection: string, query: Query): Promise<Document[]>
  /** How many match, counting no further than `limit`. */
  count(collection: string, where: readonly Condition[], limit: number): Promise<number>
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
  checkpoint(projection: Projection): Promise<string | null>
  /** As `ReadModel.apply`; what is applied in order may be on its way for a while before the checkpoint moves. */
  apply(changes: readonly Change[], checkpoint: Step): Promise<void>
  /**
   * Once it is filled. After it resolves, every change that commands make is applied to this generation as well, in
   * whatever process; those made before are in the log.
   * @returns `taken`: another process brought it level and has made it the live one: there is nothing left to do
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

/** Another process follows the log in a later term, or what was followed is no longer what there is. */
export class DeposedError extends Error {
  override name = 'DeposedError'
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

export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** A request that has ended, for its one log line. Nothing of it is the caller's text but the ids, which are checked. */
export interface RequestEntry {
  method: string
  /** The route's pattern. */
  route: string
  /** 499 if the caller went away before the answer. */
  status: number
  ms: number
  requestId: string
  principal: Principal | null
}

/** What the use cases report about themselves. */
export interface Telemetry {
  log: Logger
  authenticated(kind: 'token' | 'legacy' | 'jwt' | 'none', outcome: string): void
  appended(seconds: number, events: number): void
  projected(seconds: number, events: number): void
  usageLost(count: number): void
  damaged(kind: string): void
}
