import type { Context } from 'koa'
import type { Accepted } from '../../application/authentication/authenticate.ts'
import type { Asker, Gate } from '../../application/scheduling/gate.ts'
import { type AuthenticateRequest, unauthorized } from './authenticate.ts'
import type { Handler } from '../route.ts'
import { atEnd, requestStateOf } from '../requestState.ts'
import { invalid } from '../input/validate.ts'

/**
 * How many requests of one account are worked on at once, in the gate that all accounts share. Requests with the
 * account's tokens have a share of their own, since whoever holds a stolen token must not keep its owner from finding
 * it.
 */
const SHARE = 8

/**
 * Makes a handler that only requests with a good credential reach. Caches must not keep its answer. Its signal is
 * aborted when the caller has gone.
 * @param gate where the work waits for its turn. Leave it out for work that waits in that gate itself
 */
export const readingWith =
  (authenticateRequest: AuthenticateRequest, gate?: Gate) =>
  (handle: Handler) =>
  async (ctx: Context): Promise<void> => {
    ctx.set('Cache-Control', 'no-store')
    const accepted = await authenticateRequest(ctx)
    if (!accepted) throw unauthorized(false)
    await whileWaitedFor(ctx, (gone) => {
      const serve = async () => handle(ctx, accepted, gone)
      return gate ? gate.run(serve, askerOf(accepted)) : serve()
    })
  }

/** Does work with a signal that is aborted when the caller has gone, and ends quietly then. */
export async function whileWaitedFor(
  ctx: Context,
  work: (gone: AbortSignal) => Promise<void>,
): Promise<void> {
  const gone = new AbortController()
  atEnd(ctx, requestStateOf(ctx), () => gone.abort())
  try {
    await work(gone.signal)
  } catch (error) {
    if (error !== gone.signal.reason) throw error
  }
}

/** For whom the work is done, to a gate. */
export const askerOf = ({ principal: { kind, accountId } }: Accepted): Asker => ({
  name: () => `${kind} ${accountId}`,
  left: () => SHARE,
})

/** The largest length of a query string, in characters, with every character escaped. */
const MAX_QUERY = 8192

/** @throws Problem 422 for a query string that is too long to be parsed */
export function queryOf(ctx: Context): URLSearchParams {
  const { querystring } = ctx
  if (querystring.length <= MAX_QUERY) return new URLSearchParams(querystring)
  throw invalid([{ pointer: '?', message: `must have at most ${MAX_QUERY} characters` }])
}
