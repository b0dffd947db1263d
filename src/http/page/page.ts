import type { Context, Middleware } from 'koa'
import type { Operator } from '../../domain/principal.ts'
import { movedTo } from '../prefix.ts'
import type { SendProblem } from '../problem.ts'
import { type Route, routerOf } from '../route.ts'
import { operatorMiddleware } from '../routes/operators.ts'
import { fileRoutes } from './files.ts'
import { assertPageOptions, PAGE_PATH, type PageOptions, themeCss } from './options.ts'

interface Dependencies {
  /** Of the API: the tables of the management routes, and of operators. */
  tokens: readonly Route[]
  operators: readonly Route[]
  session: (path: string) => Route[]
  admitOperator: (ctx: Context) => Promise<Operator>
  tokenHeader: string
  /** Can people get a link that opens the page? */
  opensByLink: boolean
  sendProblem: SendProblem
}

/** The page: its files, and what its script asks. */
export function createPage(deps: Dependencies, options: PageOptions): Middleware {
  assertPageOptions(options)
  const { prefix = PAGE_PATH, title = 'API tokens', lang = 'en', texts = {} } = options
  const { tryUrl = null, returnUrl = null } = options
  const api = `${prefix}/api`
  const files = fileRoutes(prefix, {
    title,
    theme: themeCss(options),
    lang,
    config: {
      title,
      lang,
      texts,
      try_url: tryUrl,
      return_url: returnUrl,
      token_header: deps.tokenHeader,
      opens_by_link: deps.opensByLink,
    },
  })
  const router = routerOf(
    [...files, ...deps.session(`${api}/session`), ...movedTo(`${api}/tokens`, deps.tokens)],
    deps.sendProblem,
  )
  const operators = operatorMiddleware(deps.operators, deps.admitOperator, deps.sendProblem, `${api}/admin`)
  return (ctx, next) => operators(ctx, () => router(ctx, next))
}
