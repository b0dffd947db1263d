import { randomBytes } from 'node:crypto'
import type { Accepted } from '../../application/authentication/authenticate.ts'
import { type Clock, iso } from '../../application/ports/clock.ts'
import type { Pepper } from '../../domain/credential.ts'
import {
  CODE_MS,
  LONGEST_TICKET,
  type PortalGrant,
  type PortalRight,
  returnUrlOf,
  sealTicket,
} from '../../domain/portal.ts'
import { assertScopes, type AuthenticateRequest } from '../authentication/authenticate.ts'
import { queryOf, readingWith } from '../authentication/authenticated.ts'
import { JSON_TYPES, readJsonOrNothing } from '../input/body.ts'
import { bodyValidator, invalid, queryValidator } from '../input/validate.ts'
import { portalBody, portalSession } from '../openapi/portalSchemas.ts'
import { noQuery } from '../openapi/schemas.ts'
import { Problem } from '../problem.ts'
import { type Route, sendJson } from '../route.ts'

interface Dependencies {
  authenticateRequest: AuthenticateRequest
  pepper: Pepper
  newId: () => string
  clock: Clock
  /** Where callers see the page, once it is mounted. */
  pageUrl: () => string
  returnUrls: readonly string[]
  operatorScope: string | null
}

export const PORTAL_PATH = '/settings/portal-sessions'

const parseNoQuery = queryValidator<object>(noQuery)
const parsePortal = bodyValidator<{ return_url?: string; can: PortalRight[] }>(portalBody)

/** Where the host's backend gets a link to the page for somebody who is logged in there. */
export function portalRoutes(deps: Dependencies): Route[] {
  const { clock, returnUrls, operatorScope } = deps

  const create = readingWith(deps.authenticateRequest)(async (ctx, accepted) => {
    const { principal, subject, ceiling } = accepted
    if (principal.kind !== 'jwt')
      throw new Problem('token_may_not_manage', 'Use a JWT to open the page for somebody.')
    parseNoQuery(queryOf(ctx))
    const { can, return_url: returnUrl } = parsePortal(await readJsonOrNothing(ctx))
    if (!can.includes('read')) throw invalid([{ pointer: '/can', message: 'must have read' }])
    const { accountId } = principal
    if (can.includes('operate')) assertOperator(accepted)
    const grant: PortalGrant = {
      accountId,
      subject: subject ?? accountId,
      scopes: ceiling,
      can,
      returnUrl: returnUrl === undefined ? null : allowed(returnUrl),
    }
    const expiresAt = clock() + CODE_MS
    const id = deps.newId()
    const sealed = (one: PortalGrant): string =>
      sealTicket(deps.pepper, 'code', { ...one, id, expiresAt }, randomBytes(12))
    const code = sealed(grant)
    // In its one spelling a URL may be many times as long as it was sent.
    if (code.length > LONGEST_TICKET) throw tooLong(sealed({ ...grant, returnUrl: null }))
    ctx.status = 201
    sendJson(ctx, { url: `${deps.pageUrl()}#code=${code}`, expires_at: iso(expiresAt) })
  })

  /** Nobody gives out more than they may do themselves. */
  function assertOperator(accepted: Accepted): void {
    if (operatorScope === null)
      throw invalid([{ pointer: '/can', message: 'no scope makes an operator here' }])
    assertScopes(accepted, [operatorScope])
  }

  function allowed(url: string): string {
    const found = returnUrlOf(returnUrls, url)
    if (found !== null) return found
    throw invalid([{ pointer: '/return_url', message: 'must be at or below one of PORTAL_RETURN_URLS' }])
  }

  return [
    {
      method: 'post',
      path: PORTAL_PATH,
      operationId: 'createPortalSession',
      summary: 'A link that opens the page for somebody, once and within a minute',
      who: 'jwt',
      query: noQuery,
      body: { schema: portalBody, types: JSON_TYPES, isOptional: true, example: { can: ['read', 'write'] } },
      answers: { 201: { description: 'Send the browser there.', schema: portalSession } },
      problems: ['insufficient_scope'],
      handle: create,
    },
  ]
}

/** @param without the code without a return_url */
const tooLong = (without: string): Problem =>
  invalid([
    without.length > LONGEST_TICKET
      ? { pointer: '', message: 'the scopes of the JWT are too long for a session' }
      : { pointer: '/return_url', message: 'is too long for a session, with the scopes of the JWT' },
  ])
