import type { ServerResponse } from 'node:http'
import type { Context, Middleware } from 'koa'
import {
  type Accepted,
  type Credential,
  ELSEWHERE,
  type Source,
} from '../../application/authentication/authenticate.ts'
import type { TokenRecord } from '../../application/authentication/records.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import type {
  CountedAuthentication,
  CountedDecision,
  CountedRefusal,
  Purpose,
} from '../../application/usage/countedAuthentication.ts'
import { holdsCredential } from '../../domain/credential.ts'
import { isScope } from '../../domain/rules.ts'
import type { CallerAddress } from '../callerAddress.ts'
import { callerRoute } from '../callerPath.ts'
import type { credentialReader } from './credential.ts'
import { strangerOf } from '../lineQuota.ts'
import { Problem, type SendProblem } from '../problem.ts'
import { type Quota, rateLimited } from '../rateLimit.ts'
import { atEnd, conceal, concealed, type RequestState, requestStateOf, userAgentOf } from '../requestState.ts'
import { isReadable, unreadable } from '../requestTarget.ts'
import { assertKnown, trueOrFalse } from '../knownOptions.ts'

export interface AuthenticateOptions {
  /** Lets a request without a credential pass, as anonymous. A bad credential is refused even then. */
  optional?: boolean
}

interface Dependencies {
  authenticate: CountedAuthentication<Quota>
  readCredential: ReturnType<typeof credentialReader>
  addressOf: CallerAddress
  log: Logger
}

const REALM = 'Bearer realm="tokenledger"'
/** An answer names at most this many scopes, which is as many as a credential may have. */
const MOST_NAMED = 32

/**
 * Authenticates a request once, however many middlewares ask. Null: it brought no credential.
 * @param fromAnywhere which tokens may do what the request asks for from any address. Left out: none
 */
export type AuthenticateRequest = (
  ctx: Context,
  fromAnywhere?: Source['fromAnywhere'],
) => Accepted | null | Promise<Accepted | null>

/** @returns a function that throws a Problem for a bad credential, and for an outage */
export function createRequestAuthentication(deps: Dependencies): AuthenticateRequest {
  const { authenticate, readCredential, addressOf, log } = deps

  function refuse(ctx: Context, { kind }: Credential, refusal: CountedRefusal<Quota>): Problem {
    const { refused, expired: _, over, ...known } = refusal
    // A credential that nobody has looked at gets no line of its own: the line of its request says enough.
    if (refused !== 'limited') {
      const { requestId } = requestStateOf(ctx)
      log.info({ requestId, kind, ...strangerOf(ctx, refused), ...known }, 'credential refused')
    }
    if (over) return rateLimited(over)
    return refused === ELSEWHERE ? elsewhere() : unauthorized(true)
  }

  const authenticateRequest: AuthenticateRequest = (ctx, fromAnywhere) => {
    const state = requestStateOf(ctx)
    for (const { by, accepted } of state.acceptances) if (by === authenticateRequest) return accepted
    if (!isReadable(ctx)) throw unreadable()
    const credential = readCredential(ctx.req)
    if (!credential) return null
    // Another ledger may trust other proxies, so each reads the address for itself.
    const address = addressOf(ctx.req)
    state.address = address
    if (credential.kind === 'legacy') conceal(ctx, state, credential.value)
    const decision = authenticate({
      credential,
      ip: address,
      fromAnywhere,
      purpose: () => purposeOf(ctx, state),
      onAccepted: (count) => countAtEnd(ctx, state, count),
      isLimited: true,
    })
    return decision instanceof Promise
      ? decision.then((decided) => letIn(ctx, credential, decided))
      : letIn(ctx, credential, decision)
  }

  function letIn(ctx: Context, credential: Credential, decision: CountedDecision<Quota>): Accepted {
    if ('refused' in decision) throw refuse(ctx, credential, decision)
    return admit(ctx, decision, authenticateRequest)
  }

  return authenticateRequest
}

/**
 * From here on the request belongs to this principal.
 * @param by the function with which its ledger authenticates
 */
export function admit(ctx: Context, accepted: Accepted, by: AuthenticateRequest): Accepted {
  const state = requestStateOf(ctx)
  state.accepted = accepted
  state.acceptances.push({ by, accepted })
  ctx.state.principal = accepted.principal
  ctx.state.account = accepted.account
  if (accepted.record) setTimes(ctx, accepted.record)
  return accepted
}

/** Says until when the credential is good. */
function setTimes({ res }: Context, { expiresAt, retiresAt }: TokenRecord): void {
  if (expiresAt !== Number.POSITIVE_INFINITY)
    res.setHeader('Token-Expires-At', new Date(expiresAt).toISOString())
  if (retiresAt !== Number.POSITIVE_INFINITY)
    res.setHeader('Token-Retires-At', new Date(retiresAt).toISOString())
}

/** Counts the use when the response has ended, since its status is known only then. */
function countAtEnd(ctx: Context, state: RequestState, count: (outcome: string) => void): void {
  atEnd(ctx, state, () => count(outcomeOf(ctx.res, state)))
}

const CLASSES = ['aborted', '1xx', '2xx', '3xx', '4xx', '5xx']

/**
 * A request that `/auth/verify` lets through is answered by the server behind the proxy, so its status is not known
 * here.
 */
function outcomeOf({ writableFinished, statusCode }: ServerResponse, { usedRoute }: RequestState): string {
  const outcome = writableFinished ? (CLASSES[Math.floor(statusCode / 100)] ?? 'aborted') : 'aborted'
  return usedRoute !== null && outcome === '2xx' ? 'accepted' : outcome
}

function purposeOf(ctx: Context, state: RequestState): Purpose {
  const asked = state.usedRoute ?? { method: ctx.method, route: callerRoute(ctx) }
  return { method: asked.method, route: concealed(state, asked.route), userAgent: userAgentOf(ctx) }
}

/**
 * Middleware for a host's app: sets `ctx.state.principal` and `ctx.state.account`, or answers 401.
 * @throws TypeError for options that are none
 */
export function authenticateMiddleware(
  authenticateRequest: AuthenticateRequest,
  sendProblem: SendProblem,
  how: AuthenticateOptions,
): Middleware {
  assertKnown('authenticate', how, ['optional'])
  const optional = trueOrFalse('authenticate', 'optional', how.optional, false)
  return function authenticate(ctx, next) {
    const fail = async (error: unknown) => sendProblem(ctx, error)
    const letIn = (accepted: Accepted | null) => (accepted || optional ? next() : fail(unauthorized(false)))
    let accepted: ReturnType<AuthenticateRequest>
    try {
      accepted = authenticateRequest(ctx)
    } catch (error) {
      return fail(error)
    }
    return accepted instanceof Promise ? accepted.then(letIn, fail) : letIn(accepted)
  }
}

/**
 * Middleware for a host's route: lets a principal with this scope pass, or answers 403.
 * @throws TypeError for what no credential can have as a scope: the route would be closed to everybody
 */
export function requireScopeMiddleware(
  authenticateRequest: AuthenticateRequest,
  sendProblem: SendProblem,
  scope: string,
): Middleware {
  if (typeof scope !== 'string' || !isScope(scope))
    throw new TypeError(
      'requireScope(scope): scope must be one like orders:read: [a-z0-9][a-z0-9:._*-]{0,63}',
    )
  return async function requireScope(ctx, next) {
    try {
      assertScopes(await authenticateRequest(ctx), [scope])
    } catch (error) {
      return sendProblem(ctx, error)
    }
    return next()
  }
}

/** @throws Problem 401 without a credential, 403 if a scope is missing */
export function assertScopes(accepted: Accepted | null, required: readonly string[]): Accepted {
  if (!accepted) throw unauthorized(false)
  const missing = required.filter((scope) => !accepted.principal.scopes.includes(scope))
  if (missing.length === 0) return accepted
  throw lacking(missing)
}

/**
 * The answer follows RFC 6750 §3. A required scope that no credential can have is text of a caller, and is not
 * repeated.
 */
function lacking(missing: readonly string[]): Problem {
  const named = [...new Set(missing)].filter((scope) => isScope(scope) && !holdsCredential(scope))
  const shown = named.slice(0, MOST_NAMED).join(' ')
  const detail =
    shown === '' ? 'The credential lacks a scope that this needs.' : `The credential lacks: ${shown}.`
  const scope = shown === '' ? '' : `, scope="${shown}"`
  return new Problem('insufficient_scope', detail, {
    headers: { 'WWW-Authenticate': `${REALM}, error="insufficient_scope"${scope}` },
  })
}

const elsewhere = (): Problem => new Problem('ip_not_allowed', 'The token may not be used from this address.')

/** Unknown, revoked, expired and malformed credentials get the same answer. Which one it was is in the log. */
export function unauthorized(wasSent: boolean): Problem {
  const detail = wasSent ? 'The credential was not accepted.' : 'Send an API token or a JWT.'
  const challenge = wasSent ? `${REALM}, error="invalid_token"` : REALM
  return new Problem('unauthorized', detail, { headers: { 'WWW-Authenticate': challenge } })
}
