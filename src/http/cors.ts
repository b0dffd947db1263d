import type { Context, Middleware } from 'koa'
import { isReadable } from './requestTarget.ts'

const METHODS = 'GET, HEAD, POST, PATCH, DELETE'
/** Headers that a page may read, in addition to those that every page may read. */
const EXPOSED = 'ETag, Location, Token-Expires-At'
/** How long a browser may keep the answer to a preflight, in seconds. */
const MAX_AGE = '600'

/**
 * CORS by the Fetch standard, for the management routes: pages of listed origins may call them and read their answers.
 * Credentials that a browser adds by itself, like cookies, are never allowed: a page sends its credential in a header.
 * @param origins in the form in which browsers send them; null: no page of another origin may call
 * @param tokenHeader the name of the API token header
 * @returns a function that wraps a middleware which asks for a credential, since a preflight has none. It also takes
 *   the paths of the management routes, which may become more later
 */
export function createCors(
  origins: readonly string[] | null,
  tokenHeader: string,
): (inner: Middleware, prefixes: Iterable<string>) => Middleware {
  if (origins === null) return (inner) => inner
  const listed = new Set(origins)
  const sent = [
    'Authorization',
    tokenHeader,
    'Content-Type',
    'Idempotency-Key',
    'If-Match',
    'Last-Event-ID',
    'X-Request-Id',
    'X-Correlation-Id',
  ].join(', ')

  /** @returns whether it was a preflight, which is answered now */
  function allow(ctx: Context, prefixes: Iterable<string>): boolean {
    if (!isReadable(ctx) || !isBelow(ctx.path, prefixes)) return false
    ctx.vary('Origin')
    const { origin } = ctx.req.headers
    if (origin === undefined || !listed.has(origin)) return false
    ctx.set('Access-Control-Allow-Origin', origin)
    if (ctx.method !== 'OPTIONS' || ctx.req.headers['access-control-request-method'] === undefined) {
      ctx.set('Access-Control-Expose-Headers', EXPOSED)
      return false
    }
    ctx.set('Access-Control-Allow-Methods', METHODS)
    ctx.set('Access-Control-Allow-Headers', sent)
    ctx.set('Access-Control-Max-Age', MAX_AGE)
    ctx.set('Cache-Control', 'no-store')
    ctx.status = 204
    return true
  }

  return (inner, prefixes) => (ctx, next) => (allow(ctx, prefixes) ? undefined : inner(ctx, next))
}

function isBelow(path: string, prefixes: Iterable<string>): boolean {
  for (const prefix of prefixes) if (path === prefix || path.startsWith(`${prefix}/`)) return true
  return false
}
