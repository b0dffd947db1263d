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

/** The file has its one writer already. */
export class StoreInUseError extends Error {
  override name = 'StoreInUseError'

  constructor(path: string, why = 'another process has it open for writing') {
    super(`${path} is in use: ${why}`)
  }
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

/** Something that the host handed in has failed, or does not keep to what was agreed. Its own error is the cause. */
export class HostError extends Error {
  override name = 'HostError'
  override readonly cause: Error

  /** @param thrown what it has thrown: anything */
  constructor(thrown: unknown) {
    const cause = isNativeError(thrown) ? thrown : new Error('what was thrown is no error', { cause: thrown })
    super(cause.message)
    this.cause = cause
  }
}

/** Also one of another realm, which is no instance of this one's `Error`. */
const isNativeError = (thrown: unknown): thrown is Error =>
  thrown instanceof Error || Object.prototype.toString.call(thrown) === '[object Error]'

/** Too many bad credentials have come from this address: whether this one is good, nobody has looked. */
export class RateLimitedError extends Error {
  override name = 'RateLimitedError'
  readonly code = 'rate_limited'
  /** Seconds until it may be tried again. */
  readonly retryAfter: number

  constructor(retryAfter: number) {
    super(`too many bad credentials came from this address: wait for ${retryAfter} s`)
    this.retryAfter = retryAfter
  }
}
