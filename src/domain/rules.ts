import { holdsCredential } from './credential.ts'
import type { InputError } from './errors.ts'

/** The rules for what people write into a token. Pure: the present is an argument. */

const DAY_MS = 86_400_000
const SCOPE = /^[a-z0-9][a-z0-9:._*-]{0,63}$/
const MAX_SCOPES = 32
const MAX_NAME = 100
const MAX_REASON = 200
/** Control characters, line and paragraph separators, lone surrogates, bidirectional embeddings and overrides. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]/u
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-](\d\d):(\d\d))$/

/** RFC 3339 text to UTC with milliseconds, or null if it is not a time that exists. */
export function parseTime(text: string): string | null {
  const match = RFC3339.exec(text)
  if (!match) return null
  const [, year, month, day, hour, minute, second, fraction, , offsetHour = 0, offsetMinute = 0] = match
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null
  if (Number(offsetHour) > 23 || Number(offsetMinute) > 59) return null
  const midnight = new Date(`${year}-${month}-${day}T00:00:00.000Z`)
  if (Number.isNaN(midnight.getTime()) || midnight.getUTCDate() !== Number(day)) return null
  // Date.parse knows milliseconds only: finer fractions are cut off.
  const zone = /[+-]\d\d:\d\d$/.exec(text)?.[0] ?? 'Z'
  const millis = (fraction ?? '.0').slice(0, 4)
  const at = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}${millis}${zone}`)
  const iso = Number.isNaN(at.getTime()) ? '' : at.toISOString()
  return /^\d{4}-/.test(iso) ? iso : null
}

const MAX_ID = 255

/** Ids of accounts go into a response header and an index: bounded, and free of control characters. */
export const isAccountId = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= MAX_ID && !/[\p{Cc}\p{Cs}]/u.test(value)

export const normaliseName = (name: string): string => name.normalize('NFC').trim()

/** @param name as it comes out of `normaliseName`. */
export function nameProblem(name: string): string | null {
  const length = [...name].length
  if (length < 1 || length > MAX_NAME) return `must be 1 to ${MAX_NAME} characters after trimming`
  if (UNPRINTABLE.test(name)) return 'must not contain control or bidirectional-override characters'
  if (holdsCredential(name)) return 'must not contain a token'
  return null
}

export function reasonProblem(reason: string): string | null {
  if ([...reason].length > MAX_REASON) return `must be at most ${MAX_REASON} characters`
  if (UNPRINTABLE.test(reason)) return 'must not contain control or bidirectional-override characters'
  if (holdsCredential(reason)) return 'must not contain a token'
  return null
}

export const isScope = (text: string): boolean => SCOPE.test(text)

export function scopeErrors(scopes: readonly string[]): InputError[] {
  const errors = scopes.flatMap((scope, i) =>
    isScope(scope) ? [] : [{ pointer: `/scopes/${i}`, message: `must match ${SCOPE.source}` }],
  )
  if (scopes.length > MAX_SCOPES) {
    errors.unshift({ pointer: '/scopes', message: `must hold at most ${MAX_SCOPES} scopes` })
  }
  return errors
}

/** @param maxLifetimeDays the longest life from now that is allowed, or null for any, or none. */
export function expiryProblem(
  expiresAt: string | null,
  now: string,
  maxLifetimeDays: number | null,
): string | null {
  if (expiresAt === null) {
    return maxLifetimeDays === null ? null : `must be set, at most ${maxLifetimeDays} days ahead`
  }
  if (expiresAt <= now) return 'must be in the future'
  if (maxLifetimeDays !== null && Date.parse(expiresAt) > Date.parse(now) + maxLifetimeDays * DAY_MS) {
    return `must be at most ${maxLifetimeDays} days ahead`
  }
  return null
}
