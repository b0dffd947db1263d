import { Refusal } from '../domain/errors.ts'
import { type InputProblem, type ProblemCode, toProblem } from '../http/problem.ts'

/** A refusal, with the same stable code as over HTTP. */
export class TokenLedgerError extends Error {
  override name = 'TokenLedgerError'
  readonly code: ProblemCode
  /** What is wrong with the input, by JSON pointers (RFC 6901) into it: `/scopes/0`. */
  readonly errors: readonly InputProblem[]

  constructor(
    code: ProblemCode,
    message: string,
    { errors = [], ...options }: ErrorOptions & { errors?: readonly InputProblem[] } = {},
  ) {
    super(message, options)
    this.code = code
    this.errors = errors
  }
}

/** @returns a TokenLedgerError; or the error itself, if HTTP would not say either what it is */
export function refusalOf(error: unknown): unknown {
  if (error instanceof Refusal) {
    const errors = error.errors.map(({ path, message }) => ({ pointer: `/${path.join('/')}`, message }))
    return new TokenLedgerError(error.code, error.message, { errors })
  }
  const { code, message, errors } = toProblem(error)
  return code === 'internal_error' ? error : new TokenLedgerError(code, message, { errors, cause: error })
}
