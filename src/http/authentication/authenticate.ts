import { hash } from 'node:crypto'
import type { Context, Middleware } from 'koa'
import { countedRoute } from '../../../projections/tokenActivity.ts'
import type {
  Accepted,
  Authenticator,
  Credential,
  Decision,
  Refused,
} from '../../application/authentication/authenticate.ts'
import type { Asker } from '../../application/scheduling/gate.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import type { Recorder } from '../../application/usage/recorder.ts'
import type { TokenRecord } from '../../application/authentication/records.ts'
import type { Use } from '../../application/usage/window.ts'
import { limitedAs } from '../../domain/address.ts'
import { holdsCredential } from '../../domain/credential.ts'
import { isScope } from '../../domain/rules.ts'
import type { CallerAddress } from '../callerAddress.ts'
import type { credentialReader } from './credential.ts'
import { strangerOf } from '../lineQuota.ts'
import { Problem, sendProblem } from '../problem.ts'
import { type RateLimit, tooMany } from '../rateLimit.ts'
import { atEnd, conceal, concealed, type Scope, scopeOf, userAgentOf } from '../requestState.ts'
import { isReadable, unreadable } from '../requestTarget.ts'

export interface AuthenticateOptions {
  /** Lets a request without a credential through as anonymous. A bad credential is refused even then. */
  optional?: boolean
}

interface Dependencies {
  authenticator: Authenticator
  readCredential: ReturnType<typeof credentialReader>
  addressOf: CallerAddress
  recorder: Recorder
  failures: RateLimit
  /** No request is served before its use is stored. */
  strict: boolean
  now: () => number
  log: Logger
}

const REALM = 'Bearer realm="tokenledger"'
/** Scopes named in an answer: as many as a credential may have. */
const MOST_NAMED = 32

/** Judges the credential of a request once, however many middlewares ask. Null: none was sent. */
export type Judge = (ctx: Context) => Accepted | null | Promise<Accepted | null>

/** @returns a function that throws Problem for a bad credential, or an outage */
export function createJudge(deps: Dependencies): Judge {
  const { authenticator, readCredential, addressOf, recorder, failures, strict, now, log } = deps

  function refuse(ctx: Context, credential: Credential, { refused, expired, ...known }: Refused): Problem {
    const { requestId, address } = scopeOf(ctx)
    const caller = limitedBy(address)
    // It was not judged: its caller's line is the one of the request, as for any other that is turned away.
    if (refused === 'limited') return tooMany(failures.count(caller))
    log.info(
      { requestId, kind: credential.kind, ...strangerOf(ctx, refused), ...known },
      'credential refused',
    )
    const once = expired ? hash('sha256', credential.value, 'base64') : undefined
    const quota = failures.count(caller, once)
    return quota.exceeded ? tooMany(quota) : unauthorized(true)
  }

  /** Who a look-up in vain counts against. Most requests need none, and no name either. */
  function askerOf(address: string | null): Asker {
    let known: string | undefined
    const name = () => (known ??= limitedBy(address))
    return { name, left: () => failures.left(name()) }
  }

  return (ctx) => {
    const scope = scopeOf(ctx)
    if (scope.accepted) return scope.accepted
    if (!isReadable(ctx)) throw unreadable()
    const credential = readCredential(ctx.req)
    if (!credential) return null
    scope.address ??= addressOf(ctx.req)
    if (credential.kind === 'legacy') conceal(ctx, scope, credential.value)
    const store = strict
      ? (record: TokenRecord) => recorder.store(useOf(ctx, record, 'accepted', now()))
      : undefined
    const decision = authenticator.authenticate(credential, store, askerOf(scope.address))
    return decision instanceof Promise
      ? decision.then((decided) => letIn(ctx, scope, credential, decided))
      : letIn(ctx, scope, credential, decision)
  }

  function letIn(ctx: Context, scope: Scope, credential: Credential, decision: Decision): Accepted {
    if ('refused' in decision) throw refuse(ctx, credential, decision)
    if (decision.record && !strict) recordAtEnd(ctx, scope, decision.record)
    return admit(ctx, decision)
  }

  /** Counts the use when the response has ended: then its status is known. */
  function recordAtEnd(ctx: Context, scope: Scope, record: TokenRecord): void {
    const { res } = ctx
    atEnd(ctx, scope, () => {
      const outcome = res.writableFinished
        ? (CLASSES[Math.floor(res.statusCode / 100)] ?? 'aborted')
        : 'aborted'
      recorder.record(useOf(ctx, record, outcome, now()))
    })
  }
}

/** From here on the request is whose it says it is. */
export function admit(ctx: Context, accepted: Accepted): Accepted {
  scopeOf(ctx).accepted = accepted
  ctx.state.principal = accepted.principal
  ctx.state.account = accepted.account
  return accepted
}

/** Those without an address share one count. */
const limitedBy = (address: string | null): string => (address === null ? 'no address' : limitedAs(address))

const CLASSES = ['aborted', '1xx', '2xx', '3xx', '4xx', '5xx']

function useOf(ctx: Context, record: TokenRecord, outcome: string, at: number): Use {
  const scope = scopeOf(ctx)
  const asked = scope.usedRoute ?? { method: ctx.method, route: matchedRoute(ctx) }
  return {
    record,
    at,
    outcome,
    ...countedRoute(asked.method, concealed(scope, asked.route)),
    ip: scope.address,
    userAgent: userAgentOf(ctx),
  }
}

/** The pattern of the host's route, as @koa/router leaves it; the path for hosts without. */
const matchedRoute = (ctx: Context): string =>
  typeof ctx._matchedRoute === 'string' && ctx._matchedRoute !== '' ? ctx._matchedRoute : ctx.path

/** Middleware for a host's app: `ctx.state.principal` and `ctx.state.account`, or 401. */
export function authenticateMiddleware(
  judge: Judge,
  log: Logger,
  { optional = false }: AuthenticateOptions,
): Middleware {
  return async function authenticate(ctx, next) {
    try {
      if (!(await judge(ctx)) && !optional) throw unauthorized(false)
    } catch (error) {
      return sendProblem(ctx, error, log)
    }
    return next()
  }
}

/** Middleware for a host's route: the principal has the scope, or 403. */
export function requireScopeMiddleware(judge: Judge, log: Logger, scope: string): Middleware {
  return async function requireScope(ctx, next) {
    try {
      assertScopes(await judge(ctx), [scope])
    } catch (error) {
      return sendProblem(ctx, error, log)
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
