import { randomUUID } from 'node:crypto'
import type { Context } from 'koa'
import type { Accepted } from '../application/authentication/authenticate.ts'
import type { CommandContext } from '../application/tokens/execute.ts'
import { holdsCredential, keptText, LOOKED_AT } from '../domain/credential.ts'

/** What this package keeps about one request, out of the host's way. */
export interface Scope {
  requestId: string
  correlationId: string
  /** Where the request came from, once that was asked for; null where there is no address. */
  address: string | null
  /** What the credential said, once it was judged good. */
  accepted: Accepted | null
  /** Pattern of the route that serves the request, for log and metrics. */
  route: string
  /** The request that the use belongs to, where it is not this one: `/auth/verify` stands in for another. */
  usedRoute: { method: string; route: string } | null
  /** The credential of this request where no pattern would find it in a text; null for any other. */
  secret: string | null
  /** What is to be done when the response has ended, null before anybody asked. */
  endings: (() => void)[] | null
}

const SCOPE = Symbol('tokenledger')
interface Scoped extends Context {
  [SCOPE]?: Scope
}

const SAFE_ID = /^[\w.-]{1,128}$/

/** The scope of this request, made at first sight. */
export function scopeOf(ctx: Scoped): Scope {
  const known = ctx[SCOPE]
  if (known) return known
  const requestId = ownId(ctx, 'x-request-id') ?? randomUUID()
  const scope: Scope = {
    requestId,
    correlationId: ownId(ctx, 'x-correlation-id') ?? requestId,
    address: null,
    accepted: null,
    route: 'unmatched',
    usedRoute: null,
    secret: null,
    endings: null,
  }
  ctx[SCOPE] = scope
  return scope
}

/** Calls `done` when the response has ended, or its connection. One listener serves everybody. */
export function atEnd({ res }: Context, scope: Scope, done: () => void): void {
  if (res.destroyed) return done()
  if (scope.endings) {
    scope.endings.push(done)
    return
  }
  const endings = [done]
  scope.endings = endings
  res.on('close', () => {
    for (const ending of endings) ending()
  })
}

/** From here on the credential stays out of what is kept of its request, wherever else the caller has put it. */
export function conceal(ctx: Context, scope: Scope, secret: string): void {
  scope.secret = secret
  if (scope.correlationId.includes(secret)) scope.correlationId = randomUUID()
  if (!scope.requestId.includes(secret)) return
  scope.requestId = randomUUID()
  ctx.set('X-Request-Id', scope.requestId)
}

export const concealed = ({ secret }: Scope, text: string): string =>
  secret === null ? text : text.replaceAll(secret, '[credential]')

/** A caller's own id, if it is one: not long, not for injecting lines, and not a credential in the wrong header. */
function ownId(ctx: Context, header: string): string | null {
  const value = ctx.req.headers[header]
  return typeof value === 'string' && SAFE_ID.test(value) && !holdsCredential(value) ? value : null
}

/** As the caller sent it, cut short: not to be kept before it is masked. */
export const userAgentOf = (ctx: Context): string | null =>
  concealed(scopeOf(ctx), ctx.req.headers['user-agent'] ?? '').slice(0, LOOKED_AT) || null

/** Who asks, for the metadata of the events that come of it. */
export function commandContext(ctx: Context, accepted: Accepted): CommandContext {
  const { requestId, correlationId, address } = scopeOf(ctx)
  const { kind, accountId, tokenId } = accepted.principal
  const userAgent = userAgentOf(ctx)
  return {
    actor: { kind, id: tokenId ?? accepted.subject ?? accountId },
    requestId,
    correlationId,
    ip: address,
    userAgent: userAgent === null ? null : keptText(userAgent),
  }
}
