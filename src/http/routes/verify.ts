import type { Context } from 'koa'
import type { Accepted } from '../../application/authentication/authenticate.ts'
import type { Principal } from '../../domain/principal.ts'
import { assertScopes, type AuthenticateRequest } from '../authentication/authenticate.ts'
import { callerPath } from '../callerPath.ts'
import { presentPrincipal } from '../../presentation/tokens.ts'
import { queryOf } from '../authentication/authenticated.ts'
import { assertKnown, invalid } from '../input/validate.ts'
import { JSON_HEAD } from '../jsonHeaders.ts'
import type { Route } from '../route.ts'
import * as schemas from '../openapi/schemas.ts'
import { requestStateOf } from '../requestState.ts'
import { isMethod, usedPath } from '../usedRequest.ts'

const VERIFY = '/auth/verify'
const NOT_VISIBLE = /[^\x21-\x7e]/

/** The families of headers in which proxies name the request that they ask about. */
type RequestHeaders = 'x-original' | 'x-forwarded'

const scopeQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    scope: { type: 'string', description: 'A scope that is required. Given twice, both are.' },
  },
}

type ScopesOf = (ctx: Context) => readonly string[]
const NONE: readonly string[] = []

/**
 * @throws Problem 422 for any other parameter: a misspelt `scope` in a proxy's configuration must not let everybody in
 */
const askedScopes: ScopesOf = (ctx) => {
  if (ctx.querystring === '') return NONE
  const query = queryOf(ctx)
  assertKnown([...query.keys()], scopeQuery.properties, '?')
  const scopes = query.getAll('scope')
  if (scopes.includes('')) throw invalid([{ pointer: '?scope', message: 'must not be empty' }])
  return scopes
}

interface Rendered {
  accountId: string
  scopeList: string
  body: string | Buffer
  /** Of the body, in bytes. */
  length: string
}

/** Headers and body for a principal, made once: a token's principal lives as long as its record in the index. */
const known = new WeakMap<Principal, Rendered>()

function rendered(principal: Principal): Rendered {
  const found = known.get(principal)
  if (found) return found
  const json = JSON.stringify(presentPrincipal(principal))
  const accountId = headerText(principal.accountId)
  // Node writes headers in the encoding of a text body. Beside a body of bytes, their bytes stay as they are.
  const body = accountId === principal.accountId ? json : Buffer.from(json)
  const length = String(Buffer.byteLength(body))
  const made = { accountId, scopeList: principal.scopes.join(' '), body, length }
  known.set(principal, made)
  return made
}

/** Names and values in turn, since Node writes such a head faster than one that is set header by header. */
const headOf = (principal: Principal, { accountId, scopeList }: Rendered): string[] => [
  'Cache-Control',
  'no-store',
  'X-Account-Id',
  accountId,
  'X-Auth-Kind',
  principal.kind,
  // They are empty rather than absent: a proxy that copies them must not keep those that its caller sent.
  'X-Token-Id',
  principal.tokenId ?? '',
  'X-Token-Scopes',
  scopeList,
  'Content-Type',
  'application/json; charset=utf-8',
  ...JSON_HEAD,
]

/**
 * `/auth/verify`: the decision as headers, for a reverse proxy that asks before it lets a request through.
 * @param requestHeaders the family of headers that name the request it asks about; null: none is believed
 */
export function verifyRoutes(
  authenticateRequest: AuthenticateRequest,
  requestHeaders: RequestHeaders | null,
): Route[] {
  const originalRoute = originalRouteFrom(requestHeaders)
  const answer = (ctx: Context, scopesOf: ScopesOf): Promise<void> | void => {
    const authenticated = authenticateRequest(ctx)
    return authenticated instanceof Promise
      ? authenticated.then((accepted) => send(ctx, accepted, scopesOf))
      : send(ctx, authenticated, scopesOf)
  }

  const send = (ctx: Context, accepted: Accepted | null, scopesOf: ScopesOf): void => {
    // The query is read only for callers with a good credential.
    const { principal } = assertScopes(accepted, accepted ? scopesOf(ctx) : NONE)
    const { res } = ctx
    const { isOwnApp, requestId } = requestStateOf(ctx)
    const made = rendered(principal)
    const head = headOf(principal, made)
    if (isOwnApp) {
      head.push('X-Request-Id', requestId, 'Content-Length', made.length)
      ctx.respond = false
      res.writeHead(200, head).end(made.body)
      return
    }
    for (let i = 0; i < head.length; i += 2) res.setHeader(head[i] as string, head[i + 1] as string)
    ctx.body = made.body
  }

  const verify = (ctx: Context) => {
    // `/auth/verify/`: the proxy has appended the path `/`.
    if (ctx.path !== VERIFY) return verifyRest(ctx)
    requestStateOf(ctx).usedRoute = originalRoute(ctx, callerPath(ctx))
    return answer(ctx, askedScopes)
  }

  /**
   * For a proxy that appends the path it asks about: the rest of the path is the route, and the query belongs to it.
   */
  const verifyRest = (ctx: Context) => {
    requestStateOf(ctx).usedRoute = originalRoute(ctx, ctx.path.slice(VERIFY.length))
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
          'X-Token-Id': 'Empty for a JWT.',
          'X-Token-Scopes': 'Separated by spaces; empty where there are none.',
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
      query: scopeQuery,
      headers: {
        'X-Original-Method':
          'Method of the request that is asked about, with `VERIFY_REQUEST_HEADERS=x-original` (nginx); `X-Forwarded-Method` with `x-forwarded` (Traefik, Caddy).',
        'X-Original-URI': 'Its path; or `X-Forwarded-Uri`, likewise. The query string is not kept.',
      },
      problems: ['insufficient_scope'],
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

/**
 * Finds the request that a proxy asks about: by the headers that are believed, or else it is this request itself.
 * Headers of the other family are ignored, since a proxy passes them on as its caller has sent them.
 */
function originalRouteFrom(family: RequestHeaders | null) {
  return ({ req, method: ownMethod }: Context, ownPath: string): { method: string; route: string } => {
    const method = family ? req.headers[`${family}-method`] : undefined
    const uri = family ? req.headers[`${family}-uri`] : undefined
    return {
      method: typeof method === 'string' && isMethod(method) ? method : ownMethod,
      route: typeof uri === 'string' && isOnePath(uri) ? usedPath(uri) : ownPath,
    }
  }
}

/**
 * Node joins a header that comes twice with `, `, which no path contains. In that case one of the two may be the
 * caller's.
 */
const isOnePath = (uri: string): boolean => uri.startsWith('/') && !uri.includes(', ')

/** Header values are bytes, and here they hold UTF-8, as everywhere else. */
const headerText = (text: string): string =>
  NOT_VISIBLE.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text
