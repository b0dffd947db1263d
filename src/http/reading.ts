import type { Context } from 'koa'
import { type Judge, unauthorized } from './authenticate.ts'
import type { Handler } from './route.ts'
import { invalid } from './validate.ts'

/** A route for whoever has a good credential; the answer is not to be kept by caches. */
export const readingWith =
  (judge: Judge) =>
  (handle: Handler) =>
  async (ctx: Context): Promise<void> => {
    ctx.set('Cache-Control', 'no-store')
    const accepted = await judge(ctx)
    if (!accepted) throw unauthorized(false)
    await handle(ctx, accepted)
  }

/** What all parameters of a route may have together, with every character escaped. */
const MAX_QUERY = 8192

/** @throws Problem 422 for one that is too long to be taken apart */
export function queryOf(ctx: Context): URLSearchParams {
  const { querystring } = ctx
  if (querystring.length <= MAX_QUERY) return new URLSearchParams(querystring)
  throw invalid([{ pointer: '?', message: `must have at most ${MAX_QUERY} characters` }])
}
