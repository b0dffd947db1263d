import type { Context } from 'koa'

const SLASH = 47

/**
 * The path that the caller asked for, including what koa-mount, or Express in front of Koa, has removed from it. Links
 * and usage need this one, since it is what callers know.
 */
export function callerPath(ctx: Context): string {
  const url = (ctx.req as { originalUrl?: string }).originalUrl ?? ctx.originalUrl
  // Any text may stand there, and this is asked at the end of a request, too, where nobody could refuse it.
  if (url.charCodeAt(0) !== SLASH && URL.canParse(url)) return new URL(url).pathname
  const end = url.search(/[?#]/)
  return end === -1 ? url : url.slice(0, end)
}

interface Layer {
  path: unknown
  match(path: string): boolean
  captures(path: string): string[]
}

/** What @koa/router leaves in the context about the route that it has found. */
interface Routed {
  _matchedRoute?: unknown
  matched?: Layer[]
  captures?: string[]
}

/**
 * The pattern of the host's route, after whatever koa-mount has removed in front of it; the path, for hosts without
 * @koa/router.
 */
export function callerRoute(ctx: Context): string {
  const { _matchedRoute: pattern, matched = [], captures } = ctx as Routed
  const path = callerPath(ctx)
  if (typeof pattern !== 'string' || pattern === '') return path
  const layer = matched.find((one) => one.path === pattern)
  if (!layer) return pattern
  // The router has seen only the end of the path, and found its parameters there.
  const hasSeen = (end: string) =>
    layer.match(end) && (captures === undefined || String(layer.captures(end)) === String(captures))
  for (let at = 0; at !== -1; at = path.indexOf('/', at + 1)) {
    if (hasSeen(path.slice(at))) return path.slice(0, at) + pattern
  }
  // For the path of a mount itself, the router has seen a slash.
  return hasSeen('/') ? path + pattern : pattern
}
