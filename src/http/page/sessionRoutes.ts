import type { Context } from 'koa'
import { type Clock, iso } from '../../application/ports/clock.ts'
import type { Portal } from '../../application/portal/portal.ts'
import { LONGEST_TICKET } from '../../domain/portal.ts'
import type { CatalogueEntry, Ceiling } from '../../domain/scopes.ts'
import { type AuthenticateRequest, unauthorized } from '../authentication/authenticate.ts'
import { readingWith } from '../authentication/authenticated.ts'
import { assertSameOrigin } from '../authentication/crossOrigin.ts'
import type { AcceptUser, AskUser } from '../authentication/users.ts'
import { readJson } from '../input/body.ts'
import { bodyValidator } from '../input/validate.ts'
import { object } from '../openapi/parts.ts'
import { Problem } from '../problem.ts'
import { contextOf } from '../requestState.ts'
import { type Route, sendJson } from '../route.ts'
import type { PortalCookie } from './portalCookie.ts'

interface Dependencies {
  authenticateRequest: AuthenticateRequest
  askUser: AskUser
  acceptUser: AcceptUser
  portal: Portal
  cookie: PortalCookie
  trustedOrigins: readonly string[]
  clock: Clock
  settings: {
    scopes: readonly CatalogueEntry[] | null
    scopeCeiling: boolean
    tokenMaxLifetimeDays: number | null
    /** No token is given it. */
    operatorScope: string | null
  }
}

const parseCode = bodyValidator<{ code: string; replace: boolean }>(
  object(
    {
      code: { type: 'string', maxLength: LONGEST_TICKET },
      replace: {
        type: 'boolean',
        default: false,
        description: "May it take the place of another account's?",
      },
    },
    ['replace'],
  ),
)

/** Who is logged in to the page: `<prefix>/api/session`. */
export function sessionRoutes(path: string, deps: Dependencies): Route[] {
  const { authenticateRequest, askUser, acceptUser, portal, cookie, clock, settings } = deps
  const trusted = new Set(deps.trustedOrigins)

  const show = readingWith(authenticateRequest)(async (ctx, { principal, ceiling, isReadOnly, subject }) => {
    // Beside a credential, nobody's login counts.
    const isUser = principal.kind === 'user'
    const ticket = isUser ? cookie.ticketOf(ctx) : null
    const user = isUser ? await askUser(ctx) : null
    sendJson(ctx, {
      account_id: principal.accountId,
      subject: subject ?? null,
      can_write: principal.kind !== 'token' && isReadOnly !== true,
      is_operator: user?.operator === true,
      scopes: grantable(settings, ceiling),
      max_lifetime_days: settings.tokenMaxLifetimeDays,
      expires_at: ticket && iso(ticket.expiresAt),
      return_url: ticket?.returnUrl ?? null,
    })
  })

  async function open(ctx: Context): Promise<void> {
    ctx.set('Cache-Control', 'no-store')
    // Nobody else's page may log a visitor in: they would work in an account that is not theirs.
    assertSameOrigin(ctx.req, trusted)
    const { code, replace } = parseCode(await readJson(ctx))
    const ticket = portal.read(code)
    const current = cookie.ticketOf(ctx)
    if (current && current.accountId !== ticket.accountId && !replace) {
      throw new Problem('other_account', `This browser has a session of ${current.accountId}.`)
    }
    // The account may have been closed since the link was made.
    const { accountId, subject } = ticket
    if (!(await acceptUser(ctx, { accountId, subject }))) throw unauthorized(false)
    const opened = await portal.open(ticket, contextOf(ctx, { kind: 'user', id: ticket.subject }))
    cookie.set(ctx, opened, clock())
    ctx.status = 204
  }

  function close(ctx: Context): void {
    ctx.set('Cache-Control', 'no-store')
    assertSameOrigin(ctx.req, trusted)
    cookie.clear(ctx)
    ctx.status = 204
  }

  const row = { path, summary: 'The session of the page', who: 'open' as const, answers: {}, problems: [] }
  return [
    { ...row, method: 'get', operationId: 'pageSession', handle: show },
    { ...row, method: 'post', operationId: 'openPageSession', body: { schema: {}, types: [] }, handle: open },
    { ...row, method: 'delete', operationId: 'closePageSession', handle: close },
  ]
}

/** The scopes that somebody may choose from; null: any. */
function grantable(
  { scopes, scopeCeiling, operatorScope }: Dependencies['settings'],
  ceiling: Ceiling,
): CatalogueEntry[] | null {
  const limit = scopeCeiling ? ceiling : null
  const known = scopes ?? limit?.map((name) => ({ name })) ?? null
  return (
    known?.filter(({ name }) => name !== operatorScope && (limit === null || limit.includes(name))) ?? null
  )
}
