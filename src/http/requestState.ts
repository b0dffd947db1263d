import { randomUUID } from 'node:crypto'
import type { Context } from 'koa'
import type { Accepted } from '../application/authentication/authenticate.ts'
import type { CommandContext } from '../application/tokens/execute.ts'
import { holdsCredential, keptText, LOOKED_AT } from '../domain/credential.ts'
import type { Actor } from '../domain/events.ts'
import type { Client, Operator } from '../domain/principal.ts'

/** What this package keeps about one request. The host does not see it. */
export interface RequestState {
  requestId: string
  correlationId: string
  /** The address that the request came from, once somebody has asked for it; null if there is none. */
  address: string | null
  /** Is this the service's own app, where no middleware changes an answer? Then it may be sent at once. */
  isOwnApp: boolean
  /** The principal and the account, once a credential was found good; of several ledgers, the last one's. */
  accepted: Accepted | null
  /** Who asks for no account of their own, once that is known. */
  caller: Operator | Client | null
  /**
   * What each ledger has accepted. An app may have several of them, and none takes another one's word for a credential.
   */
  acceptances: { by: object; accepted: Accepted }[]
  /** Pattern of the route that serves the request, for log and metrics. */
  route: string
  /**
   * The request that the use belongs to, if it is another one: `/auth/verify` is asked about requests to other servers.
   */
  usedRoute: { method: string; route: string } | null
  /** The credential, if no pattern would find it in a text; null for any other. */
  secret: string | null
  /** Functions to call when the response has ended; null if nobody has added one. */
  endings: (() => void)[] | null
}

const STATE = Symbol('tokenledger')
interface Marked extends Context {
  [STATE]?: RequestState
}

const SAFE_ID = /^[\w.-]{1,128}$/

/** The state of this request. It is made at the first call. */
export function requestStateOf(ctx: Marked): RequestState {
  const known = ctx[STATE]
  if (known) return known
  const requestId = ownId(ctx, 'x-request-id') ?? randomUUID()
  const state: RequestState = {
    requestId,
    correlationId: ownId(ctx, 'x-correlation-id') ?? requestId,
    address: null,
    isOwnApp: false,
    accepted: null,
    caller: null,
    acceptances: [],
    route: 'unmatched',
    usedRoute: null,
    secret: null,
    endings: null,
  }
  ctx[STATE] = state
  return state
}

/** Has somebody with a good credential sent this request? */
export const isKnown = ({ accepted, caller }: RequestState): boolean => accepted !== null || caller !== null

/**
 * Calls `done` when the response or its connection has ended. All callers share one listener. What one of them throws is
 * told to the app, as what a handler throws is: there, it would end the process.
 */
export function atEnd(ctx: Context, state: RequestState, done: () => void): void {
  const { res } = ctx
  if (res.destroyed) return done()
  if (state.endings) {
    state.endings.push(done)
    return
  }
  const endings = [done]
  state.endings = endings
  res.on('close', () => {
    for (const ending of endings) {
      try {
        ending()
      } catch (error) {
        ctx.app.emit('error', error, ctx)
      }
    }
  })
}

/** From here on the credential is masked in all that is kept of its request, wherever else the caller has put it. */
export function conceal(ctx: Context, state: RequestState, secret: string): void {
  state.secret = secret
  if (state.correlationId.includes(secret)) state.correlationId = randomUUID()
  if (!state.requestId.includes(secret)) return
  state.requestId = randomUUID()
  ctx.set('X-Request-Id', state.requestId)
}

export const concealed = ({ secret }: RequestState, text: string): string =>
  secret === null ? text : text.replaceAll(secret, '[credential]')

/** The id that a caller gave, if it is valid: short, without line ends, and not a credential in the wrong header. */
function ownId(ctx: Context, header: string): string | null {
  const value = ctx.req.headers[header]
  return typeof value === 'string' && SAFE_ID.test(value) && !holdsCredential(value) ? value : null
}

/** As the caller sent it, but cut. Mask it before keeping it. */
export const userAgentOf = (ctx: Context): string | null =>
  concealed(requestStateOf(ctx), ctx.req.headers['user-agent'] ?? '').slice(0, LOOKED_AT) || null

/** Who asks, for the metadata of the events that the request causes. */
export function commandContext(ctx: Context, { principal, subject }: Accepted): CommandContext {
  const { kind, accountId, tokenId } = principal
  return contextOf(ctx, { kind, id: tokenId ?? subject ?? accountId })
}

export function contextOf(ctx: Context, actor: Actor): CommandContext {
  const { requestId, correlationId, address } = requestStateOf(ctx)
  const userAgent = userAgentOf(ctx)
  return {
    actor,
    requestId,
    correlationId,
    ip: address,
    userAgent: userAgent === null ? null : keptText(userAgent),
  }
}
