import type { Context } from 'koa'
import type { User } from '../../application/authentication/user.ts'
import type { OpenedPortal, Portal } from '../../application/portal/portal.ts'
import type { PortalTicket } from '../../domain/portal.ts'

/** The session of the page in a cookie. */
export interface PortalCookie {
  /** The session that the request brings; null for none. */
  ticketOf(ctx: Context): PortalTicket | null
  /** As `resolveUser`. */
  userOf(ctx: Context): User | null
  set(ctx: Context, opened: OpenedPortal, now: number): void
  clear(ctx: Context): void
}

/**
 * @param isSecure do callers see the page over TLS? Then no other host can set the cookie, not even one of the same
 *   domain. Browsers refuse such a cookie without TLS
 */
export function createPortalCookie({ session }: Pick<Portal, 'session'>, isSecure: boolean): PortalCookie {
  const name = isSecure ? '__Host-tokenledger' : 'tokenledger'
  const attributes = `Path=/; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`

  const ticketOf = (ctx: Context): PortalTicket | null => {
    const value = ctx.cookies.get(name, { signed: false })
    return value === undefined ? null : session(value)
  }
  const send = (ctx: Context, value: string, seconds: number): void =>
    ctx.append('Set-Cookie', `${name}=${value}; Max-Age=${seconds}; ${attributes}`)

  return {
    ticketOf,
    userOf(ctx) {
      const ticket = ticketOf(ctx)
      return (
        ticket && {
          accountId: ticket.accountId,
          subject: ticket.subject,
          ...(ticket.scopes ? { scopes: ticket.scopes } : {}),
          can: ticket.can.includes('write') ? ['read', 'write'] : ['read'],
          operator: ticket.can.includes('operate'),
        }
      )
    },
    set: (ctx, { ticket, sealed }, now) => send(ctx, sealed, Math.floor((ticket.expiresAt - now) / 1000)),
    clear: (ctx) => send(ctx, '', 0),
  }
}
