import { hash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
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
      ? decision.then((decided) => admit(ctx, scope, credential, decided))
      : admit(ctx, scope, credential, decision)
  }

  function admit(ctx: Context, scope: Scope, credential: Credential, decision: Decision): Accepted {
    if ('refused' in decision) throw refuse(ctx, credential, decision)
    scope.accepted = decision
    ctx.state.principal = decision.principal
    ctx.state.account = decision.account
    if (decision.record && !strict) recordAtEnd(ctx, scope, decision.record)
    return decision
  }

  /** Counts the use when the response has ended: then its status is known. */
  function recordAtEnd(ctx: Context, scope: Scope, record: TokenRecord): void {
    const { res } = ctx
    atEnd(ctx, scope, () => {
      recorder.record(useOf(ctx, record, outcomeOf(res, scope), now()))
    })
  }
}

/** Those without an address share one count. */
const limitedBy = (address: string | null): string => (address === null ? 'no address' : limitedAs(address))

const CLASSES = ['aborted', '1xx', '2xx', '3xx', '4xx', '5xx']

/** What became of a request that was let through for a proxy, the proxy's upstream decides: it is not known here. */
function outcomeOf({ writableFinished, statusCode }: ServerResponse, { usedRoute }: Scope): string {
  const outcome = writableFinished ? (CLASSES[Math.floor(statusCode / 100)] ?? 'aborted') : 'aborted'
  return usedRoute !== null && outcome === '2xx' ? 'accepted' : outcome
}

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
  const missing = required.find((scope) => !accepted.principal.scopes.includes(scope))
  if (missing === undefined) return accepted
  throw new Problem('insufficient_scope', 'The credential lacks a scope that this needs.', {
    headers: { 'WWW-Authenticate': `${REALM}, error="insufficient_scope"` },
  })
}

/** One answer for unknown, revoked, expired and malformed: which one it was is in the log. */
export function unauthorized(wasSent: boolean): Problem {
  const detail = wasSent ? 'The credential was not accepted.' : 'Send an API token or a JWT.'
  const challenge = wasSent ? `${REALM}, error="invalid_token"` : REALM
  return new Problem('unauthorized', detail, { headers: { 'WWW-Authenticate': challenge } })
}
