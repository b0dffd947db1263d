import type { Context } from 'koa'
import type { Asker, Gate } from '../../application/scheduling/gate.ts'
import { type Judge, unauthorized } from './authenticate.ts'
import type { Handler } from '../route.ts'
import { atEnd, scopeOf } from '../requestState.ts'
import { invalid } from '../input/validate.ts'

/**
 * How many requests of one account are worked on at once, in the gate that all share. Those of its tokens have a share of
 * their own: whoever holds a stolen one must not keep its owner from finding it.
 */
const SHARE = 8

/**
 * A route for whoever has a good credential; the answer is not to be kept by caches. Work that heeds the signal ends
 * when the caller has gone.
 * @param gate where it waits for its turn. Not around one that waits there itself
 */
export const readingWith =
  (judge: Judge, gate?: Gate) =>
  (handle: Handler) =>
  async (ctx: Context): Promise<void> => {
    ctx.set('Cache-Control', 'no-store')
    const accepted = await judge(ctx)
    if (!accepted) throw unauthorized(false)
    const gone = new AbortController()
    atEnd(ctx, scopeOf(ctx), () => gone.abort())
    const serve = async () => handle(ctx, accepted, gone.signal)
    const { kind, accountId } = accepted.principal
    const asker: Asker = { name: () => `${kind} ${accountId}`, left: () => SHARE }
    try {
      await (gate ? gate.run(serve, asker) : serve())
    } catch (error) {
      if (error !== gone.signal.reason) throw error
    }
  }

/** What all parameters of a route may have together, with every character escaped. */
const MAX_QUERY = 8192

/** @throws Problem 422 for one that is too long to be taken apart */
export function queryOf(ctx: Context): URLSearchParams {
  const { querystring } = ctx
  if (querystring.length <= MAX_QUERY) return new URLSearchParams(querystring)
  throw invalid([{ pointer: '?', message: `must have at most ${MAX_QUERY} characters` }])
}
