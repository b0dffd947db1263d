import type { Context } from 'koa'
import type { Accepted } from '../../application/authentication/authenticate.ts'
import type { Principal } from '../../domain/principal.ts'
import { LOOKED_AT } from '../../domain/credential.ts'
import { assertScopes, type Judge } from '../authentication/authenticate.ts'
import { callerPath } from '../callerPath.ts'
import { presentPrincipal } from '../../presentation/tokens.ts'
import { queryOf } from '../authentication/authenticated.ts'
import { setJsonHeaders } from '../jsonHeaders.ts'
import type { Route } from '../route.ts'
import * as schemas from '../openapi/schemas.ts'
import { scopeOf } from '../requestState.ts'

const VERIFY = '/auth/verify'
const METHOD = /^[A-Z]{1,20}$/
const NOT_VISIBLE = /[^\x21-\x7e]/g
const NOT_VISIBLE_ONCE = /[^\x21-\x7e]/

type ScopesOf = (ctx: Context) => readonly string[]
const NONE: readonly string[] = []
const askedScopes: ScopesOf = (ctx) => (ctx.querystring === '' ? NONE : queryOf(ctx).getAll('scope'))

interface Rendered {
  accountId: string
  scopeList: string
  body: string | Buffer
}

/** What a principal looks like, made once: a token's principal lives as long as its record in the index. */
const known = new WeakMap<Principal, Rendered>()

function rendered(principal: Principal): Rendered {
  const found = known.get(principal)
  if (found) return found
  const json = JSON.stringify(presentPrincipal(principal))
  const accountId = headerText(principal.accountId)
  // Node writes headers in the encoding of a text body; beside bytes they stay bytes.
  const body = accountId === principal.accountId ? json : Buffer.from(json)
  const made = { accountId, scopeList: principal.scopes.join(' '), body }
  known.set(principal, made)
  return made
}

/** `/auth/verify`: the decision as headers, for a reverse proxy that asks before it lets a request through. */
export function verifyRoutes(judge: Judge): Route[] {
  const answer = (ctx: Context, scopesOf: ScopesOf): Promise<void> | void => {
    const judged = judge(ctx)
    return judged instanceof Promise
      ? judged.then((accepted) => send(ctx, accepted, scopesOf))
      : send(ctx, judged, scopesOf)
  }

  const send = (ctx: Context, accepted: Accepted | null, scopesOf: ScopesOf): void => {
    // The query is read for whoever has a good credential only.
    const { principal } = assertScopes(accepted, accepted ? scopesOf(ctx) : NONE)
    const { res } = ctx
    const { accountId, scopeList, body } = rendered(principal)
    res.setHeader('Cache-Control', 'no-store')
    res.setHeader('X-Account-Id', accountId)
    res.setHeader('X-Auth-Kind', principal.kind)
    if (principal.tokenId !== undefined) res.setHeader('X-Token-Id', principal.tokenId)
    res.setHeader('X-Token-Scopes', scopeList)
    res.setHeader('Content-Type', 'application/json; charset=utf-8')
    setJsonHeaders(res)
    ctx.body = body
  }

  const verify = (ctx: Context) => {
    // `/auth/verify/`: the proxy appended the path `/`.
    if (ctx.path !== VERIFY) return verifyRest(ctx)
    scopeOf(ctx).usedRoute = originalRoute(ctx, callerPath(ctx))
    return answer(ctx, askedScopes)
  }

  /** A proxy that appends the path it asks about: the rest is the route, and the query string belongs to it. */
  const verifyRest = (ctx: Context) => {
    scopeOf(ctx).usedRoute = originalRoute(ctx, ctx.path.slice(VERIFY.length))
    return answer(ctx, () => NONE)
  }

  const row = {
    method: 'all' as const,
    who: 'any' as const,
    answers: {
      200: {
        description: 'The credential is good.',
        schema: schemas.refTo('Principal'),
        headers: {
          'X-Account-Id': 'The account.',
          'X-Auth-Kind': '`token` or `jwt`.',
          'X-Token-Id': 'Only for a token.',
          'X-Token-Scopes': 'Separated by spaces.',
        },
      },
    },
  }
  return [
    {
      ...row,
      path: VERIFY,
      operationId: 'verify',
      summary: 'Is this credential good? For reverse proxies; any method',
      query: {
        type: 'object',
        additionalProperties: true,
        properties: { scope: { type: 'string', description: 'A scope that is required.' } },
      },
      headers: {
        'X-Original-Method':
          'Method of the request that is asked about (nginx); `X-Forwarded-Method` (Traefik).',
        'X-Original-URI': 'Its path (nginx); `X-Forwarded-Uri` (Traefik). The query string is not kept.',
      },
      problems: ['insufficient_scope', 'validation_failed'],
      handle: verify,
    },
    {
      ...row,
      path: `${VERIFY}/*rest`,
      operationId: 'verifyPath',
      summary: 'The same for proxies that append the original path (Envoy); any method',
      problems: [],
      handle: verifyRest,
    },
  ]
}

/** The request that a proxy asks about: nginx' headers, else Traefik's, else this request's own. */
function originalRoute(ctx: Context, ownPath: string): { method: string; route: string } {
  const { headers } = ctx.req
  const method = headers['x-original-method'] ?? headers['x-forwarded-method']
  const uri = headers['x-original-uri'] ?? headers['x-forwarded-uri']
  return {
    method: typeof method === 'string' && METHOD.test(method) ? method : ctx.method,
    route: typeof uri === 'string' && uri.startsWith('/') ? pathOf(uri) : ownPath,
  }
}

const pathOf = (uri: string): string =>
  (uri.slice(0, LOOKED_AT).split(/[?#]/, 1)[0] as string).replace(NOT_VISIBLE, '?')

/** Header values are bytes: UTF-8, as everywhere else. */
const headerText = (text: string): string =>
  NOT_VISIBLE_ONCE.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text
