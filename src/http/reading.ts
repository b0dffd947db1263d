import type { Context } from 'koa'
import { type Judge, unauthorized } from './authenticate.ts'
import type { Handler } from './route.ts'
import { atEnd, scopeOf } from './scope.ts'

/**
 * A route for whoever has a good credential; the answer is not to be kept by caches. Work that heeds the signal ends
 * when the caller has gone.
 */
export const readingWith =
  (judge: Judge) =>
  (handle: Handler) =>
  async (ctx: Context): Promise<void> => {
    ctx.set('Cache-Control', 'no-store')
    const accepted = await judge(ctx)
    if (!accepted) throw unauthorized(false)
    const gone = new AbortController()
    atEnd(ctx, scopeOf(ctx), () => gone.abort())
    try {
      await handle(ctx, accepted, gone.signal)
    } catch (error) {
      if (error !== gone.signal.reason) throw error
    }
  }

export const queryOf = (ctx: Context): URLSearchParams => new URLSearchParams(ctx.querystring)
