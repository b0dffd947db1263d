import type { Context } from 'koa'
import { ConflictError, StoreUnavailableError, UnknownOutcomeError } from '../application/ports/errors.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import { BusyError } from '../application/scheduling/gate.ts'
import { type InputError, Refusal, type RefusalCode } from '../domain/errors.ts'
import { strangerOf } from './lineQuota.ts'
import { scopeOf } from './requestState.ts'

/** Every error there is, by its stable code: RFC 9457 `type` is `urn:tokenledger:problem:<code>`. */
export const problems = {
  malformed_request: [400, 'The request cannot be read'],
  duplicate_credential: [400, 'More than one credential of a kind'],
  invalid_idempotency_key: [400, 'The Idempotency-Key cannot be read'],
  unauthorized: [401, 'A valid credential is required'],
  insufficient_scope: [403, 'The credential lacks a scope'],
  token_may_not_manage: [403, 'An API token may not manage tokens'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'Method not allowed'],
  request_timeout: [408, 'The request took too long'],
  token_revoked: [409, 'The token is revoked'],
  token_damaged: [409, 'The history of the token is damaged'],
  token_limit_reached: [409, 'The account has its number of tokens'],
  token_history_full: [409, 'The token has its number of events'],
  conflict: [409, 'Too many changes at the same time'],
  precondition_failed: [412, 'The precondition does not hold'],
  payload_too_large: [413, 'The body is too large'],
  unsupported_media_type: [415, 'The body is not JSON'],
  validation_failed: [422, 'The input is not valid'],
  idempotency_key_reused: [422, 'The Idempotency-Key was used with another body'],
  rate_limited: [429, 'Too many requests'],
  header_fields_too_large: [431, 'The headers are too large'],
  internal_error: [500, 'Something went wrong here'],
  store_unavailable: [503, 'A store cannot be reached'],
} as const

export type ProblemCode = keyof typeof problems | RefusalCode

interface Extras {
  headers?: Record<string, string>
  errors?: readonly InputError[]
}

/** An error with an answer. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly status: number
  readonly headers: Record<string, string>
  readonly errors: readonly InputError[]

  constructor(code: ProblemCode, detail: string, { headers = {}, errors = [] }: Extras = {}) {
    super(detail)
    this.code = code
    this.status = problems[code][0]
    this.headers = headers
    this.errors = errors
  }
}

const RETRY_SECONDS = '1'

/** What a caller is told of an error. A 5xx says nothing of its cause. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof Refusal) return new Problem(error.code, error.message, { errors: error.errors })
  if (
    error instanceof StoreUnavailableError ||
    error instanceof UnknownOutcomeError ||
    error instanceof ConflictError
  ) {
    return new Problem('store_unavailable', 'Try again in a moment.', {
      headers: { 'Retry-After': RETRY_SECONDS },
    })
  }
  return new Problem('internal_error', 'The request was not served. It is logged under its request id.')
}

export function problemDocument(problem: Problem, requestId: string): Record<string, unknown> {
  const { code, status, message, errors } = problem
  return {
    type: `urn:tokenledger:problem:${code}`,
    title: problems[code][1],
    status,
    detail: message,
    code,
    request_id: requestId,
    ...(errors.length > 0 ? { errors } : {}),
  }
}

/** The only place that answers with an error. */
export function sendProblem(ctx: Context, error: unknown, log: Logger): void {
  const problem = toProblem(error)
  const { requestId, accepted } = scopeOf(ctx)
  // A flood makes thousands of them, which are told of together.
  if (problem.status >= 500 && !(error instanceof BusyError)) {
    const who = accepted ? {} : strangerOf(ctx, problem.code)
    log.error({ err: error, requestId, ...who }, problem.message)
  }
  ctx.status = problem.status
  ctx.set(problem.headers)
  ctx.set('Cache-Control', 'no-store')
  ctx.set('X-Request-Id', requestId)
  ctx.body = JSON.stringify(problemDocument(problem, requestId))
  ctx.type = 'application/problem+json'
  // What is left of a body that nobody read must not be taken for the next request.
  if (problem.status === 413) ctx.set('Connection', 'close')
}
