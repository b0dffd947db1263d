/** Stable codes of the refusals of the domain and of the use cases. The HTTP layer maps each to one status. */
export type RefusalCode =
  | 'not_found'
  | 'validation_failed'
  | 'scope_not_grantable'
  | 'token_revoked'
  | 'token_damaged'
  | 'precondition_failed'
  | 'token_limit_reached'
  | 'token_history_full'
  | 'rotation_under_way'
  | 'no_such_rotation'
  | 'secret_retiring'
  | 'token_may_not_manage'
  | 'idempotency_key_reused'
  | 'conflict'
  | 'portal_link_used'
  | 'portal_link_refused'

export interface InputError {
  /**
   * The path to it in the input, from the outside in: `['scopes', 0]`. HTTP and the command line write it in their own
   * ways.
   */
  path: readonly (string | number)[]
  message: string
}

/** A command or query was understood and refused. Nothing was changed. */
export class Refusal extends Error {
  readonly code: RefusalCode
  readonly errors: InputError[]

  constructor(code: RefusalCode, message: string, errors: InputError[] = []) {
    super(message)
    this.name = 'Refusal'
    this.code = code
    this.errors = errors
  }
}

/** Stored data is not what was written. The error goes into the log, and never to a caller. */
export class DamagedError extends Error {
  override name = 'DamagedError'
  /** The position after which the log can be read on, behind what is missing. Undefined if it cannot be read on. */
  readonly after: string | undefined

  constructor(message: string, { after, ...options }: ErrorOptions & { after?: string } = {}) {
    super(message, options)
    this.after = after
  }
}

/** An event that was written is no longer there. */
export class MissingEventError extends DamagedError {
  override name = 'MissingEventError'
}
