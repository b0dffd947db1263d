import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import type { Accepted } from '../application/authenticate.ts'
import type { Logger } from '../application/ports.ts'
import { Problem, type ProblemCode, sendProblem } from './problem.ts'
import { scopeOf } from './scope.ts'

/** One row of the route table: it serves the requests and it is what `/openapi.json` is made of. */
export interface Route {
  method: 'get' | 'post' | 'patch' | 'delete' | 'all'
  path: string
  operationId: string
  summary: string
  /** Which credentials may come here: `open` needs none. */
  who: 'open' | 'any' | 'jwt' | 'token' | 'jwt or the token itself'
  query?: object
  body?: { schema: object; types: readonly string[]; optional?: boolean }
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
  type?: string
  headers?: Record<string, string>
}

export type Handler = (ctx: Context, accepted: Accepted) => Promise<void> | void

/**
 * A router over a table, answering its own errors. A known path with another method is 405 with `Allow`; an unknown
 * path, and whatever goes wrong there, is the next middleware's.
 */
export function routerOf(routes: readonly Route[], log: Logger): Middleware {
  const router = new Router()
  for (const { method, path, handle } of routes) {
    const serve: Middleware = async (ctx) => {
      scopeOf(ctx).route = path
      try {
        await handle(ctx)
      } catch (error) {
        sendProblem(ctx, error, log)
      }
    }
    router[method](path, serve)
  }
  const dispatch = router.routes() as unknown as Middleware

  return (ctx, next) =>
    dispatch(ctx, () => {
      const matched = router.match(ctx.path, ctx.method).path
      if (matched.length === 0) return next()
      scopeOf(ctx).route = String(matched[0]?.path)
      const allow = [...new Set(matched.flatMap((layer) => layer.methods))].join(', ')
      const problem = new Problem('method_not_allowed', `Allowed here: ${allow}.`, { headers: { Allow: allow } })
      return Promise.resolve(sendProblem(ctx, problem, log))
    })
}

export const sendJson = (ctx: Context, body: object): void => {
  ctx.body = JSON.stringify(body)
  ctx.type = 'application/json; charset=utf-8'
}
