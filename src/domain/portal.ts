import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import { holdsCredential, type Pepper } from './credential.ts'
import { hasDotSegment } from './dotSegment.ts'

/**
 * What opens the page for people without a login of the host: a code in a link, which a browser exchanges once for a
 * session in a cookie. Both are sealed (AES-256-GCM), so nobody but this product can read or make them, and no store has
 * to keep them.
 */

const RIGHTS = ['read', 'write', 'operate'] as const
/** `operate`: see and revoke the tokens of all accounts. */
export type PortalRight = (typeof RIGHTS)[number]

/** Whom a session is for, and what they may do. */
export interface PortalGrant {
  accountId: string
  /** The person, for the history. */
  subject: string
  /** The scopes that they may give out; null: any. */
  scopes: readonly string[] | null
  can: readonly PortalRight[]
  /** Where the page sends people when they are done. */
  returnUrl: string | null
}

export type PortalTicket = PortalGrant & {
  /** Names the stream in which the opening of the session is recorded. */
  id: string
  /** In milliseconds since 1970: from then on it is refused. */
  expiresAt: number
}

/** A code and a session have keys of their own, so that neither passes for the other. */
export type TicketKind = 'code' | 'session'

/** How long a code is good, in milliseconds. */
export const CODE_MS = 60_000
/** How long a development link is good, in milliseconds. */
export const DEVELOPMENT_CODE_MS = 900_000
/** How long a session lasts, in milliseconds. */
export const SESSION_MS = 3_600_000
/** Browsers keep no longer cookie than 4,096 characters with its name and attributes. */
export const LONGEST_TICKET = 3_800

const NONCE = 12
const TAG = 16

const keyOf = ({ key }: Pepper, kind: TicketKind): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', key, '', `tokenledger portal ${kind}`, 32))

/**
 * @param nonce 12 random bytes
 * @returns text of letters, digits, "-", "_" and one "."
 */
export function sealTicket(
  pepper: Pepper,
  kind: TicketKind,
  ticket: PortalTicket,
  nonce: Uint8Array,
): string {
  const cipher = createCipheriv('aes-256-gcm', keyOf(pepper, kind), nonce)
  const sealed = Buffer.concat([
    nonce,
    cipher.update(JSON.stringify(ticket)),
    cipher.final(),
    cipher.getAuthTag(),
  ])
  return `${pepper.id}.${sealed.toString('base64url')}`
}

/** @returns null for what was not sealed as this kind with one of the peppers. Whether it is still good is not looked at */
export function unsealTicket(
  peppers: readonly Pepper[],
  kind: TicketKind,
  text: string,
): PortalTicket | null {
  if (text.length > LONGEST_TICKET) return null
  const [, id, body = ''] = /^([\w-]{1,32})\.([\w-]+)$/.exec(text) ?? []
  const pepper = peppers.find((one) => one.id === id)
  const bytes = Buffer.from(body, 'base64url')
  if (!pepper || bytes.length <= NONCE + TAG) return null
  const decipher = createDecipheriv('aes-256-gcm', keyOf(pepper, kind), bytes.subarray(0, NONCE))
  decipher.setAuthTag(bytes.subarray(-TAG))
  try {
    const opened = Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()])
    return JSON.parse(opened.toString('utf8')) as PortalTicket
  } catch {
    return null
  }
}

/** What may not stand in a URL, since some servers read it as a slash, and parsers of URLs leave out what nobody sees. */
const HIDDEN = /[\0-\x20\\]|%2f|%5c/i

/**
 * May people be sent there? The URL has the origin of an entry, and its path is that of the entry or below it. It holds
 * no credential, since it is stored.
 * @param entries as `parseReturnUrls` gives them
 * @param text whose length has been judged
 * @returns the URL in its one spelling, or null
 */
export function returnUrlOf(entries: readonly string[], text: string): string | null {
  // Segments of dots are looked for in the text, since versions of Node differ in which of them a URL still has.
  const [path = ''] = text.split(/[?#]/, 1)
  if (HIDDEN.test(text) || hasDotSegment(path) || !URL.canParse(text)) return null
  const url = new URL(text)
  const isPlain = url.username === '' && url.password === '' && /^https?:$/.test(url.protocol)
  if (!isPlain || holdsCredential(url.href)) return null
  const isAllowed = entries.some((entry) => {
    const { origin, pathname } = new URL(entry)
    return (
      url.origin === origin &&
      (url.pathname === pathname || url.pathname.startsWith(`${pathname.replace(/\/$/, '')}/`))
    )
  })
  return isAllowed ? url.href : null
}
