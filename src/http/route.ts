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
 * A router over a table, answering its own errors. A path is that of the first row whose pattern it matches: with a
 * method that no row of this pattern has, it is 405 with `Allow`. An unknown path, and whatever goes wrong there, is the
 * next middleware's.
 */
export function routerOf(routes: readonly Route[], sendProblem: SendProblem): Middleware {
  const router = new Router({ sensitive: true })
  /** Paths that take any method and hold no parameter: found here, since the router's walk costs more than they do. */
  const direct = new Map<string, Middleware>()
  const serving = ({ path, body, handle }: Route): Middleware => {
    // Use cases know nothing of bodies and queries: here is known where the input was.
    const fail = (ctx: Context, error: unknown) =>
      sendProblem(ctx, error instanceof Refusal ? toProblem(error, body ? 'body' : 'query') : error)
    return (ctx) => {
      scopeOf(ctx).route = path
      try {
        const done = handle(ctx)
        return done instanceof Promise ? done.catch((error: unknown) => fail(ctx, error)) : undefined
      } catch (error) {
        return fail(ctx, error)
      }
    }
  }

  for (const [path, rows] of byPath(routes)) {
    for (const row of rows) router[row.method](path, serving(row))
    const [first] = rows
    if (first?.method === 'all' && !/[:*]/.test(path)) direct.set(path, serving(first))
    // Any other method ends here: `/:id`, further down, would take a path like `/self` for an id.
    router.all(path, (ctx) => {
      scopeOf(ctx).route = path
      return sendProblem(ctx, methodNotAllowed(rows))
    })
  }
  const dispatch = router.routes() as unknown as Middleware

  return (ctx, next) => {
    if (!isReadable(ctx)) return Promise.resolve(sendProblem(ctx, unreadable()))
    const serve = direct.get(ctx.path)
    return serve ? serve(ctx, next) : dispatch(ctx, next)
  }
}

/** Patterns in the order of their first rows, which is the order in which they are asked. */
function byPath(routes: readonly Route[]): Map<string, Route[]> {
  const groups = new Map<string, Route[]>()
  for (const route of routes) {
    const rows = groups.get(route.path)
    if (rows) rows.push(route)
    else groups.set(route.path, [route])
  }
  return groups
}

function methodNotAllowed(rows: readonly Route[]): Problem {
  const methods = rows.flatMap(({ method }) => (method === 'get' ? ['HEAD', 'GET'] : [method.toUpperCase()]))
  const allow = methods.join(', ')
  return new Problem('method_not_allowed', `Allowed here: ${allow}.`, { headers: { Allow: allow } })
}

export const sendJson = (ctx: Context, body: object): void => sendJsonText(ctx, JSON.stringify(body))

export const sendJsonText = (ctx: Context, text: string): void => {
  // The type first: Koa would guess one for a text body.
  ctx.res.setHeader('Content-Type', 'application/json; charset=utf-8')
  setJsonHeaders(ctx.res)
  ctx.body = text
}
