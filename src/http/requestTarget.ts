import type { Context } from 'koa'
import { Problem } from './problem.ts'

const SLASH = 47

/**
 * Can the path be read? Node accepts targets that are no URL, like `GET http://[`, and then Koa's getters throw, in
 * whatever handler asks first. Others, like `GET http://x:99999/`, only Koa can read. A target that begins with a slash
 * can always be read, and `*` is one.
 */
export function isReadable(ctx: Context): boolean {
  const { url = '' } = ctx.req
  if (url.charCodeAt(0) === SLASH || url === '*') return true
  if (!URL.canParse(url)) return false
  try {
    return typeof ctx.path === 'string'
  } catch {
    return false
  }
}

export const unreadable = (): Problem => new Problem('malformed_request', 'The request target is not a URL.')
