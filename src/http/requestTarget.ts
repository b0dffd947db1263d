import type { Context } from 'koa'
import { Problem } from './problem.ts'

const SLASH = 47

/**
 * Can the path be read? Node accepts targets that are no URL, like `GET http://[`, and then Koa's getters throw, in
 * whatever handler asks first. A target that begins with a slash can always be read.
 */
export function isReadable(ctx: Context): boolean {
  if (ctx.req.url?.charCodeAt(0) === SLASH) return true
  try {
    return typeof ctx.path === 'string'
  } catch {
    return false
  }
}

export const unreadable = (): Problem => new Problem('malformed_request', 'The request target is not a URL.')
