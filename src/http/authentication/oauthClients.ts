import { createHash, timingSafeEqual } from 'node:crypto'
import type { Context } from 'koa'
import type { Client } from '../../domain/principal.ts'

/** Of a secret that nobody has, so that unknown clients take as long as others. */
const NOBODY = '0'.repeat(64)
/** The largest length of the header, in characters. */
const LONGEST = 1_024

/**
 * Client authentication by HTTP Basic, as OAuth has it: id and secret are form-encoded before (RFC 6749 §2.3.1).
 * @param clients the SHA-256 of each client's secret, in hex, by the client's id
 * @returns null for a bad client, or for none
 */
export function clientOf({ req }: Context, clients: ReadonlyMap<string, string>): Client | null {
  const [header = '', ...more] = req.headersDistinct.authorization ?? []
  if (header.length > LONGEST || more.length > 0) return null
  const [, encoded] = /^Basic ([\w+/-]+=*)$/i.exec(header) ?? []
  if (encoded === undefined) return null
  const [id, secret] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8'))?.slice(1).map(formDecoded) ?? []
  if (typeof id !== 'string' || typeof secret !== 'string') return null
  const expected = clients.get(id)
  const given = createHash('sha256').update(secret).digest()
  const isEqual = timingSafeEqual(given, Buffer.from(expected ?? NOBODY, 'hex'))
  return isEqual && expected !== undefined ? { kind: 'client', subject: id } : null
}

function formDecoded(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return null
  }
}
