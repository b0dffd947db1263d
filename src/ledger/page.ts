import type { Middleware } from 'koa'
import { ids } from '../application/eventLog/ids.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import type { Pepper } from '../domain/credential.ts'
import type { AskUser, LoggedIn } from '../http/authentication/users.ts'
import { createAskUser } from '../http/authentication/users.ts'
import type { PageOptions } from '../http/page/options.ts'
import { PAGE_PATH } from '../http/page/options.ts'
import { createPage } from '../http/page/page.ts'
import { createPortalCookie } from '../http/page/portalCookie.ts'
import { sessionRoutes } from '../http/page/sessionRoutes.ts'
import { assertShown } from '../http/page/shownAccount.ts'
import { problemSender } from '../http/problem.ts'
import type { Route } from '../http/route.ts'
import { portalRoutes } from '../http/routes/portal.ts'
import type { Parts, UseCases } from './parts.ts'
import type { requestsOf } from './requests.ts'

type Requests = ReturnType<typeof requestsOf>
/** Finds those who may come to the management routes. */
export type Managers = ReturnType<Requests['managersWith']>

interface Dependencies {
  requests: Requests
  tokensFor: (asked: Managers) => Route[]
  operatorsFor: (asked: Managers) => Route[]
  log: Logger
}

/** The page, and the route by which a host's backend opens it for somebody. */
export function pageOf(
  { settings, keys, clock }: Parts,
  { portal }: Pick<UseCases, 'portal'>,
  deps: Dependencies,
) {
  const { requests, tokensFor, operatorsFor, log } = deps
  const { publicUrl, trustedOrigins } = settings
  const cookie = createPortalCookie(portal, publicUrl?.startsWith('https:') ?? settings.production)
  const portalUser = createAskUser(cookie.userOf, trustedOrigins)
  /** The portal's cookie counts here only, and before the host's own login. */
  const askUser: AskUser = async (ctx) => {
    const visitor = await portalUser?.(ctx)
    const user: LoggedIn | null = visitor
      ? { ...visitor, hasSession: true }
      : ((await requests.askUser?.(ctx)) ?? null)
    if (user) assertShown(ctx, user.accountId)
    return user
  }
  const asked = requests.managersWith(askUser)

  /** Of the page that was mounted first: links lead there. */
  let pagePath: string | null = null

  function page(options: PageOptions = {}): Middleware {
    const mounted = createPage(
      {
        tokens: tokensFor(asked),
        operators: operatorsFor(asked),
        session: (path) =>
          sessionRoutes(path, {
            authenticateRequest: asked.managers,
            askUser,
            acceptUser: requests.acceptUser,
            portal,
            cookie,
            trustedOrigins,
            clock,
            settings,
          }),
        admitOperator: asked.admitOperator,
        tokenHeader: settings.apiTokenHeader,
        // Without a public URL there are no links but those of development, in the service.
        opensByLink: publicUrl !== null || requests.askUser === null,
        // The page's script reads these, so they have their own form whatever the host's `onProblem` writes.
        sendProblem: problemSender(log),
      },
      options,
    )
    pagePath ??= options.prefix ?? PAGE_PATH
    return mounted
  }

  /** Nothing is made of a request, so without a public URL there is no link to give. */
  const portalTable: Route[] =
    publicUrl === null
      ? []
      : portalRoutes({
          authenticateRequest: requests.authenticateRequest,
          pepper: keys.peppers[0] as Pepper,
          newId: ids.random,
          clock,
          pageUrl: () => publicUrl + (pagePath ?? PAGE_PATH),
          returnUrls: settings.portalReturnUrls ?? [],
          operatorScope: settings.operatorScope,
        })

  return { page, portalTable }
}
