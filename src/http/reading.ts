import type { Context } from 'koa'
import type { Asker, Gate } from '../application/gate.ts'
import { type Judge, unauthorized } from './authenticate.ts'
import type { Handler } from './route.ts'

/** How many requests of one account are worked on at once, in the gate that all share. */
const SHARE = 8

/**
 * A route for whoever has a good credential; the answer is not to be kept by caches.
 * @param gate where it waits for its turn. Not around one that waits there itself
 */
export const readingWith =
  (judge: Judge, gate?: Gate) =>
  (handle: Handler) =>
  async (ctx: Context): Promise<void> => {
    ctx.set('Cache-Control', 'no-store')
    const accepted = await judge(ctx)
    if (!accepted) throw unauthorized(false)
    if (!gate) return handle(ctx, accepted)
    const account: Asker = { name: () => accepted.principal.accountId, left: () => SHARE }
    await gate.run(async () => handle(ctx, accepted), account)
  }

export const queryOf = (ctx: Context): URLSearchParams => new URLSearchParams(ctx.querystring)
