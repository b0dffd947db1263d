import type { ServerResponse } from 'node:http'
import type { Context, Middleware } from 'koa'
import type { Accepted, Credential } from '../../application/authentication/authenticate.ts'
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
import { type Quota, tooMany } from '../rateLimit.ts'
import { atEnd, conceal, concealed, type Scope, scopeOf, userAgentOf } from '../requestState.ts'
import { isReadable, unreadable } from '../requestTarget.ts'

export interface AuthenticateOptions {
  /** Lets a request without a credential through as anonymous. A bad credential is refused even then. */
  optional?: boolean
}

interface Dependencies {
  authenticate: CountedAuthentication<Quota>
  readCredential: ReturnType<typeof credentialReader>
  addressOf: CallerAddress
  log: Logger
}

const REALM = 'Bearer realm="tokenledger"'
/** Scopes named in an answer: as many as a credential may have. */
const MOST_NAMED = 32

/** Judges the credential of a request once, however many middlewares ask. Null: none was sent. */
export type Judge = (ctx: Context) => Accepted | null | Promise<Accepted | null>

/** @returns a function that throws Problem for a bad credential, or an outage */
export function createJudge(deps: Dependencies): Judge {
  const { authenticate, readCredential, addressOf, log } = deps

  function refuse(ctx: Context, { kind }: Credential, refusal: CountedRefusal<Quota>): Problem {
    const { refused, expired: _, over, ...known } = refusal
    // One that was not judged has its line with the request, as any other that is turned away.
    if (refused !== 'limited') {
      const { requestId } = scopeOf(ctx)
      log.info({ requestId, kind, ...strangerOf(ctx, refused), ...known }, 'credential refused')
    }
    return over ? tooMany(over) : unauthorized(true)
  }

  return (ctx) => {
    const scope = scopeOf(ctx)
    if (scope.accepted) return scope.accepted
    if (!isReadable(ctx)) throw unreadable()
    const credential = readCredential(ctx.req)
    if (!credential) return null
    scope.address ??= addressOf(ctx.req)
    if (credential.kind === 'legacy') conceal(ctx, scope, credential.value)
    const decision = authenticate({
      credential,
      purpose: () => purposeOf(ctx, scope),
      onAccepted: (count) => countAtEnd(ctx, scope, count),
      limited: scope,
    })
    return decision instanceof Promise
      ? decision.then((decided) => letIn(ctx, credential, decided))
      : letIn(ctx, credential, decision)
  }

  function letIn(ctx: Context, credential: Credential, decision: CountedDecision<Quota>): Accepted {
    if ('refused' in decision) throw refuse(ctx, credential, decision)
    return admit(ctx, decision)
  }
}

/** From here on the request is whose it says it is. */
export function admit(ctx: Context, accepted: Accepted): Accepted {
  scopeOf(ctx).accepted = accepted
  ctx.state.principal = accepted.principal
  ctx.state.account = accepted.account
  return accepted
}

/** Counts the use when the response has ended: then its status is known. */
function countAtEnd(ctx: Context, scope: Scope, count: (outcome: string) => void): void {
  atEnd(ctx, scope, () => count(outcomeOf(ctx.res, scope)))
}

const CLASSES = ['aborted', '1xx', '2xx', '3xx', '4xx', '5xx']

/** What became of a request that was let through for a proxy, the proxy's upstream decides: it is not known here. */
function outcomeOf({ writableFinished, statusCode }: ServerResponse, { usedRoute }: Scope): string {
  const outcome = writableFinished ? (CLASSES[Math.floor(statusCode / 100)] ?? 'aborted') : 'aborted'
  return usedRoute !== null && outcome === '2xx' ? 'accepted' : outcome
}

function purposeOf(ctx: Context, scope: Scope): Purpose {
  const asked = scope.usedRoute ?? { method: ctx.method, route: callerRoute(ctx) }
  return {
    method: asked.method,
    route: concealed(scope, asked.route),
    ip: scope.address,
    userAgent: userAgentOf(ctx),
  }
}

/** Middleware for a host's app: `ctx.state.principal` and `ctx.state.account`, or 401. */
export function authenticateMiddleware(
  judge: Judge,
  sendProblem: SendProblem,
  { optional = false }: AuthenticateOptions,
): Middleware {
  return async function authenticate(ctx, next) {
    try {
      if (!(await judge(ctx)) && !optional) throw unauthorized(false)
    } catch (error) {
      return sendProblem(ctx, error)
    }
    return next()
  }
}

/** Middleware for a host's route: the principal has the scope, or 403. */
export function requireScopeMiddleware(judge: Judge, sendProblem: SendProblem, scope: string): Middleware {
  return async function requireScope(ctx, next) {
    try {
      assertScopes(await judge(ctx), [scope])
    } catch (error) {
      return sendProblem(ctx, error)
    }
    return next()
  }
}

/** @throws Problem 401 without a credential, 403 where a scope is missing */
export function assertScopes(accepted: Accepted | null, required: readonly string[]): Accepted {
  if (!accepted) throw unauthorized(false)
  const missing = required.filter((scope) => !accepted.principal.scopes.includes(scope))
  if (missing.length === 0) return accepted
  throw lacking(missing)
}

/** RFC 6750 §3. What no scope can be called is a caller's text, and no credential has it: it is not repeated. */
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

/** One answer for unknown, revoked, expired and malformed: which one it was is in the log. */
export function unauthorized(wasSent: boolean): Problem {
  const detail = wasSent ? 'The credential was not accepted.' : 'Send an API token or a JWT.'
  const challenge = wasSent ? `${REALM}, error="invalid_token"` : REALM
  return new Problem('unauthorized', detail, { headers: { 'WWW-Authenticate': challenge } })
}
