/** Stable codes of what the domain and the use cases refuse; the HTTP layer maps each to one status. */
export type RefusalCode =
  | 'not_found'
  | 'validation_failed'
  | 'scope_not_grantable'
  | 'token_revoked'
  | 'token_damaged'
  | 'precondition_failed'
  | 'token_limit_reached'
  | 'token_history_full'
  | 'idempotency_key_reused'
  | 'conflict'

export interface InputError {
  /** Where it is in the input, from the outside in: `['scopes', 0]`. Each door writes it in its own way. */
  path: readonly (string | number)[]
  message: string
}

/** A command or query that was understood and refused. Nothing was changed. */
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

/** Stored data that is not what was written. Named in the log, never served. */
export class DamagedError extends Error {
  override name = 'DamagedError'
  /** Where reading the log can go on, behind what is missing: a position. Undefined where it cannot. */
  readonly after: string | undefined

  constructor(message: string, { after, ...options }: ErrorOptions & { after?: string } = {}) {
    super(message, options)
    this.after = after
  }
}

/** An event that was written is not there any more. */
export class MissingEventError extends DamagedError {
  override name = 'MissingEventError'
}
