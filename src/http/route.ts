import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import type { Accepted } from '../application/authentication/authenticate.ts'
import { Refusal } from '../domain/errors.ts'
import { setJsonHeaders } from './jsonHeaders.ts'
import { Problem, type ProblemCode, type SendProblem, toProblem } from './problem.ts'
import { scopeOf } from './requestState.ts'
import { isReadable, unreadable } from './requestTarget.ts'

/** One row of the route table: it serves the requests and it is what `/openapi.json` is made of. */
export interface Route {
  method: 'get' | 'post' | 'patch' | 'delete' | 'all'
  path: string
  operationId: string
  summary: string
  /** Which credentials may come here: `open` needs none. Where a JWT manages tokens, a user of the host may as well. */
  who: 'open' | 'any' | 'jwt' | 'token' | 'jwt or the token itself'
  query?: object
  body?: { schema: object; types: readonly string[] }
  /** Request headers that mean something here. */
  headers?: Record<string, string>
  answers: Record<number, Answer>
  /** Codes of the errors that this route answers with, besides those that follow from the rest of the row. */
  problems: readonly ProblemCode[]
  handle: (ctx: Context) => Promise<void> | void
}

export interface Answer {
  description: string
  schema?: object
  type?: string | readonly string[]
  headers?: Record<string, string>
  /** OpenAPI's: which requests can be made from the answer. */
  links?: Record<string, object>
}

/** @param gone aborted when the caller has gone: nobody waits for the answer any more */
export type Handler = (ctx: Context, accepted: Accepted, gone: AbortSignal) => Promise<void> | void

/**
 * A router over a table, answering its own errors. A known path with another method is 405 with `Allow`; an unknown
 * path, and whatever goes wrong there, is the next middleware's.
 */
export function routerOf(routes: readonly Route[], sendProblem: SendProblem): Middleware {
  const router = new Router({ sensitive: true })
  /** Paths that take any method and hold no parameter: found here, since the router's walk costs more than they do. */
  const direct = new Map<string, Middleware>()
  for (const { method, path, body, handle } of routes) {
    // Use cases know nothing of bodies and queries: here is known where the input was.
    const placed = (error: unknown) =>
      error instanceof Refusal ? toProblem(error, body ? 'body' : 'query') : error
    const fail = (ctx: Context, error: unknown) => sendProblem(ctx, placed(error))
    const serve: Middleware = (ctx) => {
      scopeOf(ctx).route = path
      try {
        const done = handle(ctx)
        return done instanceof Promise ? done.catch((error: unknown) => fail(ctx, error)) : undefined
      } catch (error) {
        return fail(ctx, error)
      }
    }
    if (method === 'all' && !/[:*]/.test(path)) direct.set(path, serve)
    router[method](path, serve)
  }
  const dispatch = router.routes() as unknown as Middleware

  return (ctx, next) => {
    if (!isReadable(ctx)) return Promise.resolve(sendProblem(ctx, unreadable()))
    const serve = direct.get(ctx.path)
    if (serve) return serve(ctx, next)
    return dispatch(ctx, () => {
      const matched = router.match(ctx.path, ctx.method).path
      if (matched.length === 0) return next()
      scopeOf(ctx).route = String(matched[0]?.path)
      // A path of its own stands before those that it would be a parameter of.
      const own = matched.filter(({ paramNames }) => paramNames.length === 0)
      const allow = [...new Set((own.length > 0 ? own : matched).flatMap(({ methods }) => methods))].join(
        ', ',
      )
      const problem = new Problem('method_not_allowed', `Allowed here: ${allow}.`, {
        headers: { Allow: allow },
      })
      return Promise.resolve(sendProblem(ctx, problem))
    })
  }
}

export const sendJson = (ctx: Context, body: object): void => sendJsonText(ctx, JSON.stringify(body))

export const sendJsonText = (ctx: Context, text: string): void => {
  // The type first: Koa would guess one for a text body.
  ctx.res.setHeader('Content-Type', 'application/json; charset=utf-8')
  setJsonHeaders(ctx.res)
  ctx.body = text
}
