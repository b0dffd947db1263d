import type { Context } from 'koa'
import {
  ConflictError,
  HostError,
  KeysUnavailableError,
  StoreUnavailableError,
  UnknownOutcomeError,
} from '../application/ports/errors.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import { BusyError } from '../application/scheduling/gate.ts'
import { type InputError, Refusal, type RefusalCode } from '../domain/errors.ts'
import { snakeCase } from '../presentation/names.ts'
import { setJsonHeaders } from './jsonHeaders.ts'
import { strangerOf } from './lineQuota.ts'
import { isKnown, requestStateOf } from './requestState.ts'

/** Every error there is, by its stable code: RFC 9457 `type` is `urn:tokenledger:problem:<code>`. */
export const problems = {
  malformed_request: [400, 'The request cannot be read'],
  duplicate_credential: [400, 'More than one credential of a kind'],
  invalid_idempotency_key: [400, 'The Idempotency-Key cannot be read'],
  unauthorized: [401, 'A valid credential is required'],
  insufficient_scope: [403, 'The credential lacks a scope'],
  token_may_not_manage: [403, 'An API token may not manage tokens'],
  scope_not_grantable: [403, 'The scope is not yours to give out'],
  secret_retiring: [403, 'The secret is about to retire'],
  ip_not_allowed: [403, 'The token may not be used from this address'],
  read_only: [403, 'This user may not change tokens'],
  portal_link_refused: [403, 'The link to the page is not good any more'],
  cross_origin: [403, 'The request comes from another origin'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'Method not allowed'],
  request_timeout: [408, 'The request took too long'],
  token_revoked: [409, 'The token is revoked'],
  token_damaged: [409, 'The history of the token is damaged'],
  token_limit_reached: [409, 'The account has its number of tokens'],
  rotation_under_way: [409, 'A rotation of the token is under way'],
  no_such_rotation: [409, 'There is no such rotation'],
  token_history_full: [409, 'The token has its number of events'],
  conflict: [409, 'Too many changes at the same time'],
  portal_link_used: [409, 'The link to the page was used before'],
  other_account: [409, 'The browser has the session of another account'],
  precondition_failed: [412, 'The precondition does not hold'],
  payload_too_large: [413, 'The body is too large'],
  unsupported_media_type: [415, 'The body is not JSON'],
  validation_failed: [422, 'The input is not valid'],
  idempotency_key_reused: [422, 'The Idempotency-Key was used with another body'],
  rate_limited: [429, 'Too many requests'],
  header_fields_too_large: [431, 'The headers are too large'],
  internal_error: [500, 'Something went wrong here'],
  store_unavailable: [503, 'Temporarily unavailable'],
} as const

export type ProblemCode = keyof typeof problems | RefusalCode

/** What is wrong with the input. */
export interface InputProblem {
  /** JSON pointer into the body (RFC 6901), or the name of a query parameter after `?`. */
  pointer: string
  message: string
}

interface Extras {
  headers?: Record<string, string>
  errors?: readonly InputProblem[]
}

/** An error that has an answer of its own. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly status: number
  readonly headers: Record<string, string>
  readonly errors: readonly InputProblem[]

  constructor(code: ProblemCode, detail: string, { headers = {}, errors = [] }: Extras = {}) {
    super(detail)
    this.code = code
    this.status = problems[code][0]
    this.headers = headers
    this.errors = errors
  }
}

/** @param what nobody may do with an API token */
export const tokenMayNot = (what: string): Problem =>
  new Problem('token_may_not_manage', `${what} takes a JWT, or the login of an app that has one of its own.`)

const RETRY_SECONDS = '1'
const LATER = 'Try again in a moment.'

/** The part of a request that holds the input. */
export type InputPlace = 'body' | 'query'

const inputProblem = ({ path, message }: InputError, place: InputPlace): InputProblem => ({
  pointer: (place === 'body' ? '/' : '?') + path.map((step) => snakeCase(String(step))).join('/'),
  message,
})

/**
 * What a caller learns about an error. A 5xx says nothing about its cause, but a store's outage is not one of keys.
 * @param place where the input stands that use cases refuse, since they know nothing of bodies and queries
 */
export function toProblem(error: unknown, place: InputPlace = 'query'): Problem {
  if (error instanceof Problem) return error
  if (error instanceof Refusal) {
    const errors = error.errors.map((one) => inputProblem(one, place))
    return new Problem(error.code, error.message, { errors })
  }
  if (
    error instanceof StoreUnavailableError ||
    error instanceof UnknownOutcomeError ||
    error instanceof ConflictError
  ) {
    const what =
      error instanceof KeysUnavailableError
        ? 'The keys with which the signature is checked cannot be had now. '
        : ''
    return new Problem('store_unavailable', what + LATER, { headers: { 'Retry-After': RETRY_SECONDS } })
  }
  return new Problem('internal_error', 'The request was not served. It is logged under its request id.')
}

/** An error as it is answered: RFC 9457, with a stable code, and the id that the log has, too. */
export interface ProblemDocument {
  /** `urn:tokenledger:problem:<code>` */
  type: string
  title: string
  status: number
  detail: string
  code: string
  request_id: string
  /** What is wrong with the input, place by place. */
  errors?: readonly InputProblem[]
}

export function problemDocument(problem: Problem, requestId: string): ProblemDocument {
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

/**
 * Writes a refusal in the host's own form: it sets `ctx.body`, and may change anything else. Status and headers
 * (`WWW-Authenticate`, `Retry-After`, `Allow`) are set already. If it sets no body, `problem` is sent.
 */
export type OnProblem = (ctx: Context, problem: ProblemDocument) => void | Promise<void>

export type SendProblem = (ctx: Context, error: unknown) => void | Promise<void>

/** The only place that answers with an error. */
export function problemSender(log: Logger, onProblem?: OnProblem): SendProblem {
  /** Emits the error as Koa does for what its middleware throws, and logs it. */
  function report(ctx: Context, error: unknown, message: string): void {
    const state = requestStateOf(ctx)
    const { requestId } = state
    const isHosts = error instanceof HostError
    const who = isKnown(state) ? {} : strangerOf(ctx, toProblem(error).code)
    log.error({ err: isHosts ? error.cause : error, requestId, ...who }, message)
    if (isHosts) ctx.app.emit('error', error.cause, ctx)
  }

  async function sendAsHostDoes(ctx: Context, problem: Problem, write: OnProblem): Promise<void> {
    const document = problemDocument(problem, requestStateOf(ctx).requestId)
    // A body and headers that somebody set before do not belong to this answer.
    ctx.remove('Content-Type')
    ctx.body = undefined
    setHead(ctx, problem)
    try {
      await write(ctx, document)
    } catch (error) {
      report(ctx, new HostError(error), 'onProblem failed: the refusal is sent in its usual form')
      // Nothing can be added to an answer that it has begun without Koa.
      if (!ctx.headerSent) sendDocument(ctx, problem, document)
      return
    }
    if (ctx.headerSent || ctx.respond === false) return
    if (ctx.body === undefined) return sendDocument(ctx, problem, document)
    // Koa turns an empty body into a 204, but a refusal must not look like a success.
    if (ctx.body === null && ctx.status === 204) ctx.status = problem.status
  }

  return (ctx, error) => {
    const problem = toProblem(error)
    // A flood causes thousands of these, which the log sums up elsewhere.
    if (problem.status >= 500 && !(error instanceof BusyError)) report(ctx, error, problem.message)
    if (onProblem) return sendAsHostDoes(ctx, problem, onProblem)
    return sendDocument(ctx, problem, problemDocument(problem, requestStateOf(ctx).requestId))
  }
}

function setHead(ctx: Context, { status, headers }: Problem): void {
  ctx.status = status
  ctx.set(headers)
  ctx.set('Cache-Control', 'no-store')
  ctx.set('X-Request-Id', requestStateOf(ctx).requestId)
  // The rest of a body that nobody read must not be taken for the next request.
  if (status === 413) ctx.set('Connection', 'close')
}

function sendDocument(ctx: Context, problem: Problem, document: ProblemDocument): void {
  setHead(ctx, problem)
  ctx.body = JSON.stringify(document)
  ctx.type = 'application/problem+json'
  setJsonHeaders(ctx.res)
}
