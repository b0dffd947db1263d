import { canonicalBlock } from './address.ts'
import { holdsCredential, idHoldsCredential } from './credential.ts'
import type { InputError } from './errors.ts'
import { DAY_MS } from './time.ts'

/** The rules for what people write into a token. They are pure: the present time is an argument. */

const SCOPE = /^[a-z0-9][a-z0-9:._*-]{0,63}$/
const MAX_SCOPES = 32
const MAX_NAME = 100
/**
 * The largest length of a name before NFC, in UTF-16 units. A character of NFC is made of at most six units (three
 * characters beyond the basic plane in two scripts; four in Greek), so no valid name is longer, however it is written.
 * The limit also keeps NFC fast: its work grows with the square of the marks on one letter.
 */
const MAX_RAW_NAME = 6 * MAX_NAME
const MAX_REASON = 200
const MAX_DESCRIPTION = 500
const MAX_RAW_DESCRIPTION = 6 * MAX_DESCRIPTION
const LABEL = /^[A-Za-z0-9_.-]{1,40}$/
const MAX_LABELS = 16
const MAX_LABEL_TEXT = 200
export const MAX_ALLOWED_IPS = 100
/** The length in characters of `2026-11-22T08:00:00.123456789+01:00`. */
const MAX_TIME = 35
/** Control characters, line and paragraph separators, lone surrogates, bidirectional embeddings and overrides. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]/u
/**
 * A character that can be seen. It is not one that Unicode calls invisible, not a letter or symbol that is blank, not a
 * mark without a letter, and not one whose meaning is only agreed in private (private use, unassigned).
 */
const VISIBLE =
  /(?![\p{Default_Ignorable_Code_Point}\u2800\u{1D159}\u{13441}\u{13442}])[\p{L}\p{N}\p{P}\p{S}]/u
/** Unicode's white space, and the byte order mark, which is trimmed as well. */
const SPACE = /[\p{White_Space}\uFEFF]/u
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-](\d\d):(\d\d))$/

/** Converts RFC 3339 text to UTC with milliseconds. Null if it is not a time that exists. */
export function parseTime(text: string): string | null {
  if (text.length > MAX_TIME) return null
  const match = RFC3339.exec(text)
  if (!match) return null
  const [, year, month, day, hour, minute, second, fraction, , offsetHour = 0, offsetMinute = 0] = match
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null
  if (Number(offsetHour) > 23 || Number(offsetMinute) > 59) return null
  const midnight = new Date(`${year}-${month}-${day}T00:00:00.000Z`)
  if (Number.isNaN(midnight.getTime()) || midnight.getUTCDate() !== Number(day)) return null
  // Date.parse knows milliseconds only, so finer fractions are cut off.
  const zone = /[+-]\d\d:\d\d$/.exec(text)?.[0] ?? 'Z'
  const millis = (fraction ?? '.0').slice(0, 4)
  const at = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}${millis}${zone}`)
  const iso = Number.isNaN(at.getTime()) ? '' : at.toISOString()
  return /^\d{4}-/.test(iso) ? iso : null
}

const MAX_ID = 255

/** Control characters, lone surrogates, bidirectional embeddings and overrides. */
const NOT_IN_IDS = /[\p{Cc}\p{Cs}\u202A-\u202E\u2066-\u2069]/u

/**
 * Ids of other systems are written into an index and into events, so they are short, and have no control characters and
 * no credential.
 */
export const isForeignId = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length > 0 &&
  value.length <= MAX_ID &&
  !NOT_IN_IDS.test(value) &&
  !idHoldsCredential(value)

/** Ids of accounts are also written into a response header, where white space at the ends is lost. */
export const isAccountId = (value: unknown): value is string =>
  isForeignId(value) && !/^\p{White_Space}|\p{White_Space}$|^\uFEFF|\uFEFF$/u.test(value)

/** Equal names get equal text. A text that is too long to be a name stays as it is, and `nameProblem` says so. */
export function normaliseName(name: string): string {
  const trimmed = trim(name)
  return trimmed.length > MAX_RAW_NAME ? trimmed : trimmed.normalize('NFC')
}

/** `String.trim` does not remove the line end U+0085. */
function trim(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && SPACE.test(text.charAt(start))) start++
  while (end > start && SPACE.test(text.charAt(end - 1))) end--
  return text.slice(start, end)
}

/** @param name the result of `normaliseName` */
export function nameProblem(name: string): string | null {
  if (!isWithin(name, 1, MAX_NAME)) return `must be 1 to ${MAX_NAME} characters after trimming`
  if (UNPRINTABLE.test(name)) return 'must not contain control or bidirectional-override characters'
  if (!VISIBLE.test(name)) return 'must contain a letter, a digit or another character that can be seen'
  return textProblem(name)
}

/** A description may have several lines. One without any text is none. */
export function normaliseDescription(description: string): string | null {
  const trimmed = trim(description)
  if (trimmed === '') return null
  return trimmed.length > MAX_RAW_DESCRIPTION ? trimmed : trimmed.normalize('NFC')
}

/** @param description the result of `normaliseDescription` */
export function descriptionProblem(description: string): string | null {
  if (!isWithin(description, 0, MAX_DESCRIPTION)) return `must be at most ${MAX_DESCRIPTION} characters`
  return textProblem(description.replace(/[\n\t]/g, ' '))
}

/** Checks names, values, and how many there are. */
export function metadataErrors(metadata: Readonly<Record<string, string>>): InputError[] {
  const names = Object.keys(metadata)
  if (names.length > MAX_LABELS)
    return [{ path: ['metadata'], message: `must have at most ${MAX_LABELS} members` }]
  return names.flatMap((name): InputError[] => {
    if (!LABEL.test(name))
      return [{ path: ['metadata'], message: 'must have names of 1 to 40 letters, digits, ".", "_" and "-"' }]
    const message =
      labelProblem(metadata[name] as string) ?? (holdsCredential(name) ? 'must not contain a token' : null)
    return message === null ? [] : [{ path: ['metadata', name], message }]
  })
}

const labelProblem = (text: string): string | null =>
  isWithin(text, 0, MAX_LABEL_TEXT) ? textProblem(text) : `must be at most ${MAX_LABEL_TEXT} characters`

/** @param allowedIps in canonical form, or as they were written if they are none */
export function allowedIpsErrors(allowedIps: readonly string[]): InputError[] {
  if (allowedIps.length < 1 || allowedIps.length > MAX_ALLOWED_IPS)
    return [
      {
        path: ['allowedIps'],
        message: `must have 1 to ${MAX_ALLOWED_IPS} addresses or CIDR blocks, or be null`,
      },
    ]
  return allowedIps.flatMap((block, i): InputError[] =>
    canonicalBlock(block) === null
      ? [
          {
            path: ['allowedIps', i],
            message: 'must be an address or a CIDR block without bits behind its prefix',
          },
        ]
      : [],
  )
}

export function reasonProblem(reason: string): string | null {
  return isWithin(reason, 0, MAX_REASON) ? textProblem(reason) : `must be at most ${MAX_REASON} characters`
}

export const neededReasonProblem = (reason: string): string | null =>
  reasonProblem(reason) ?? (VISIBLE.test(reason) ? null : 'must say why')

/** @param text whose length has been judged */
function textProblem(text: string): string | null {
  if (UNPRINTABLE.test(text)) return 'must not contain control or bidirectional-override characters'
  return holdsCredential(text) ? 'must not contain a token' : null
}

/** Counts characters as code points. Each has at most two UTF-16 units. */
function isWithin(text: string, min: number, max: number): boolean {
  if (text.length > 2 * max) return false
  const { length } = [...text]
  return length >= min && length <= max
}

const MALFORMED_SCOPE =
  'must be 1 to 64 of the characters a-z, 0-9, ":", ".", "_", "*" and "-", and begin with a letter or a digit'

export const isScope = (text: string): boolean => SCOPE.test(text)

export function scopeErrors(scopes: readonly string[]): InputError[] {
  // Only one scope more than allowed is checked, and none behind it.
  const errors = scopes
    .slice(0, MAX_SCOPES + 1)
    .flatMap((scope, i) => (isScope(scope) ? [] : [{ path: ['scopes', i], message: MALFORMED_SCOPE }]))
  if (scopes.length > MAX_SCOPES) {
    errors.unshift({ path: ['scopes'], message: `must hold at most ${MAX_SCOPES} scopes` })
  }
  return errors
}

/** @param maxLifetimeDays the longest life from now that is allowed. Null allows any, also one without an end */
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
