import { randomBytes } from 'node:crypto'
import type { Pepper } from '../domain/credential.ts'
import { DEVELOPMENT_CODE_MS, type PortalRight, sealTicket } from '../domain/portal.ts'

interface Opened {
  /** A UUID that no other link has. */
  id: string
  accountId: string
  can: readonly PortalRight[]
  /** Milliseconds since 1970. */
  now: number
}

/** A link to the page as the host's backend would get it, for development only. It works once, for 15 minutes. */
export function developmentLink(
  pageUrl: string,
  peppers: readonly Pepper[],
  { id, accountId, can, now }: Opened,
): string {
  const ticket = { id, accountId, subject: accountId, scopes: null, can, returnUrl: null }
  const expiresAt = now + DEVELOPMENT_CODE_MS
  return `${pageUrl}#code=${sealTicket(peppers[0] as Pepper, 'code', { ...ticket, expiresAt }, randomBytes(12))}`
}
