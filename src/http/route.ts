import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import type { Accepted } from '../application/authentication/authenticate.ts'
import { Refusal } from '../domain/errors.ts'
import { setJsonHeaders } from './jsonHeaders.ts'
import type { Tag } from './tags.ts'
import { Problem, type ProblemCode, type SendProblem, toProblem } from './problem.ts'
import { requestStateOf } from './requestState.ts'
import { isReadable, unreadable } from './requestTarget.ts'

/** One row of the route table. It serves the requests, and `/openapi.json` is made from it. */
export interface Route {
  method: 'get' | 'post' | 'patch' | 'delete' | 'all'
  path: string
  operationId: string
  summary: string
  /** Under which heading the description has it. */
  tag?: Tag
  /**
   * Which credentials may come here: `open` needs none. Where a JWT manages tokens, a user of the host's app may do so,
   * too.
   */
  who: 'open' | 'any' | 'jwt' | 'token' | 'jwt or the token itself' | 'operator' | 'client' | 'signed'
  query?: object
  /** `example`: a body that is accepted as it stands. */
  body?: { schema: object; types: readonly string[]; isOptional?: boolean; example?: object }
  /** Request headers that this route reads. */
  headers?: Record<string, string>
  answers: Record<number, Answer>
  /** Codes of errors that this route answers with, in addition to those that follow from the rest of the row. */
  problems: readonly ProblemCode[]
  handle: (ctx: Context) => Promise<void> | void
}

export interface Answer {
  description: string
  schema?: object
  type?: string | readonly string[]
  /** The schema of each type of content, where they differ; in place of `schema` and `type`. */
  content?: Record<string, object>
  headers?: Record<string, string>
  /** Links of OpenAPI: which requests can be made from the answer. */
  links?: Record<string, object>
}

/** @param gone aborted when the caller has gone, since then nobody waits for the answer any more */
export type Handler = (ctx: Context, accepted: Accepted, gone: AbortSignal) => Promise<void> | void

/**
 * A router for a table, which answers its own errors. The first row whose pattern matches decides about a path: if no
 * row of this pattern has the method, the answer is 405 with `Allow`. Unknown paths, and errors on them, are left to
 * the next middleware.
 */
export function routerOf(routes: readonly Route[], sendProblem: SendProblem): Middleware {
  const router = new Router({ sensitive: true })
  /**
   * Paths without a parameter that take any method. They are found here, since the router's search costs more than
   * their work.
   */
  const direct = new Map<string, Middleware>()
  const serving = ({ path, body, handle }: Route): Middleware => {
    // Use cases know nothing of bodies and queries. Here it is known where the input was.
    const fail = (ctx: Context, error: unknown) =>
      sendProblem(ctx, error instanceof Refusal ? toProblem(error, body ? 'body' : 'query') : error)
    return (ctx) => {
      requestStateOf(ctx).route = path
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
    // Any other method ends here. Otherwise `/:id`, further down, would take a path like `/self` for an id.
    router.all(path, (ctx) => {
      requestStateOf(ctx).route = path
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

/** The rows by pattern. Patterns are tried in the order of their first rows. */
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
  // The type is set first, since Koa would guess one for a text body.
  ctx.res.setHeader('Content-Type', 'application/json; charset=utf-8')
  setJsonHeaders(ctx.res)
  ctx.body = text
}
