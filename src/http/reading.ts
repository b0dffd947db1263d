import type { Context } from 'koa'
import { type Judge, unauthorized } from './authenticate.ts'
import type { Handler } from './route.ts'

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

export const queryOf = (ctx: Context): URLSearchParams => new URLSearchParams(ctx.querystring)
