import type { Context } from 'koa'
import { Problem } from '../problem.ts'

const VISIBLE_ASCII = /^[\x21-\x7e]{1,255}$/

/** @throws Problem 400 for a key that is empty, too long, sent twice, or not of visible ASCII */
export function idempotencyKeyOf(ctx: Context): string | null {
  const key = ctx.req.headers['idempotency-key']
  return key === undefined ? null : readIdempotencyKey(key)
}

/** @throws Problem `invalid_idempotency_key` for anything that is no such key */
export function readIdempotencyKey(key: unknown): string {
  if (typeof key === 'string' && VISIBLE_ASCII.test(key)) return key
  throw new Problem('invalid_idempotency_key', 'Send one key of 1 to 255 visible ASCII characters.')
}

/** The largest length of `If-Match`, in characters: room for some 500 tags. */
const MAX_IF_MATCH = 4096

const WEAK =
  'If-Match compares strong ETags, and one that begins with W/ is weak: it matches nothing. A proxy that compresses answers makes them weak. Send the ETag without W/.'

/**
 * `If-Match` (RFC 9110 §13.1.1) with strong ETags: `*`, or a list that holds the revision. Without the header every
 * revision matches. A value that is no ETag, or is longer than any useful list, matches none.
 * @throws Problem 412 from the returned function if none matches and one of the tags is weak, which may be the reason
 */
export function ifMatchOf(ctx: Context): (revision: number) => boolean {
  const header = ctx.req.headers['if-match']
  return header === undefined ? () => true : readIfMatch(header)
}

export function readIfMatch(header: string): (revision: number) => boolean {
  if (header.length > MAX_IF_MATCH) return () => false
  if (header.trim() === '*') return () => true
  const tags = header.split(',').map((tag) => tag.trim())
  return (revision) => {
    if (tags.includes(`"${revision}"`)) return true
    if (tags.some((tag) => tag.startsWith('W/'))) throw new Problem('precondition_failed', WEAK)
    return false
  }
}
