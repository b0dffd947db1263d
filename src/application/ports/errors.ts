/**
 * Another append to the stream came first. `actual` is the stream's newest revision, -1 for a stream without events.
 */
export class ConflictError extends Error {
  override name = 'ConflictError'
  readonly actual: number

  constructor(stream: string, actual: number) {
    super(`${stream} is at revision ${actual}`)
    this.actual = actual
  }
}

/** The store says that it did not do what was asked, or it cannot be reached at all. */
export class StoreUnavailableError extends Error {
  override name = 'StoreUnavailableError'
}

/**
 * The store refuses the user, or the connection to it cannot be trusted. That lasts until a person has mended the
 * address, the rights of the user or the certificate. The message is one sentence that says which, without any secret.
 */
export class StoreMisconfiguredError extends StoreUnavailableError {
  override name = 'StoreMisconfiguredError'
  /** The message without the address. */
  readonly reason: string

  /** @param called names the setting and the address */
  constructor(reason: string, called?: string) {
    super(called === undefined ? reason : `${called}: ${reason}`)
    this.reason = reason
  }
}

/** Keys that somebody else publishes, with which signatures are checked, cannot be had. */
export class KeysUnavailableError extends StoreUnavailableError {
  override name = 'KeysUnavailableError'
}

/** The store that was opened is no longer the one in its place: somebody has moved, deleted or overwritten it. */
export class StoreReplacedError extends StoreUnavailableError {
  override name = 'StoreReplacedError'
}

/** The store was asked to write and never answered, so nobody knows whether it has written. */
export class UnknownOutcomeError extends Error {
  override name = 'UnknownOutcomeError'
}

/** The file has a writer already, and may have only one. */
export class StoreInUseError extends Error {
  override name = 'StoreInUseError'

  constructor(path: string, why = 'another process has it open for writing') {
    super(`${path} is in use: ${why}`)
  }
}

/** Another process is filling the next generation already. */
export class RebuildUnderWayError extends Error {
  override name = 'RebuildUnderWayError'
}

/** Another process follows the log now, or the documents are no longer those that this process was filling. */
export class LeadershipLostError extends Error {
  override name = 'LeadershipLostError'
}

/**
 * The store refuses one of these changes for what is in it, and would refuse it every time. An outage, a full disk or a
 * store that is open for reading only is something else. The message holds nothing of the documents.
 */
export class RefusedChangeError extends Error {
  override name = 'RefusedChangeError'
  /** `taken`: another document already has the value of a field that must be unique. */
  readonly kind: 'taken' | 'refused'

  constructor(kind: RefusedChangeError['kind'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** Documents share a value that must be unique. Nobody noticed before, since they were filled without the index. */
export class SharedValueError extends Error {
  override name = 'SharedValueError'
  readonly collection: string
  /** Each group holds the ids of the documents that share one value. Not every group need be listed. */
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
