import {
  hashLegacyToken,
  holdsCredential,
  keptText,
  PLAIN_KEY_ID,
  UNKNOWN_HINT,
} from '../../domain/credential.ts'
import { Refusal } from '../../domain/errors.ts'
import type { EventData } from '../../domain/events.ts'
import { repeatedMember } from '../../domain/json.ts'
import { isAccountId, isForeignId, nameProblem, normaliseName, parseTime } from '../../domain/rules.ts'
import { type Catalogue } from '../../domain/scopes.ts'
import { isUuid } from '../../domain/uuid.ts'
import { assertValid, merged, normalise } from '../tokens/input.ts'
import { importedTokenId } from './ids.ts'

export type ImportedToken = EventData<'TokenImported'>

const MEMBERS = [
  'id',
  'token',
  'account_id',
  'name',
  'created_at',
  'updated_at',
  'last_accessed',
  'expires_at',
] as const
/** A row without one of these is a token without it, as one with null is. */
const OPTIONAL = ['scopes', 'description', 'metadata', 'allowed_ips'] as const
type OldRow = Record<(typeof MEMBERS)[number], unknown> & Partial<Record<(typeof OPTIONAL)[number], unknown>>

/** What rows are checked by, besides the rules for all tokens. */
export interface RowRules {
  /** The present: RFC 3339 UTC. Times at which something has happened to a token must not be later. */
  now: string
  catalogue: Catalogue
  /** The scope that no token can have. Null: there is none. */
  reservedScope: string | null
}

const SHA256_HEX = /^[0-9a-f]{64}$/i
/** As PostgreSQL writes a time that never comes. */
const INFINITY = 'infinity'
const TIME = 'an RFC 3339 time with its zone, like 2024-05-01T10:00:00Z'

/** Some editors and databases begin a file with it. It cannot be seen, and no JSON text begins with it. */
export const BYTE_ORDER_MARK = '\uFEFF'

/**
 * Reads a row of an old table as a token of this service.
 * @param text one JSON object with all of `MEMBERS`, any of `OPTIONAL` and no other
 * @returns the token; or, for a row that cannot be imported, text that says what is wrong with it, without its values
 */
export function readRow(text: string, rules: RowRules): ImportedToken | string {
  if (text.startsWith(BYTE_ORDER_MARK))
    return 'it begins with a byte order mark (BOM, U+FEFF): write the file anew, as UTF-8 without one'
  const row = parse(text)
  if (typeof row === 'string') return row
  const wrong: string[] = []
  const need = <T>(value: T | null, member: keyof OldRow, what: string): T => {
    if (value === null) wrong.push(`${member} must be ${what}`)
    return value as T
  }
  const past = (member: keyof OldRow): string => {
    const time = need(timeOf(row[member]), member, TIME)
    if (time > rules.now) wrong.push(`${member} must not be in the future`)
    return time
  }

  const oldId = need(idOf(row.id), 'id', 'a text of 1 to 255 characters that is no token, or a whole number')
  const hash = need(hashOf(row.token), 'token', 'the SHA-256 of the token in 64 hexadecimal digits')
  const accountId = need(
    isAccountId(row.account_id) ? row.account_id : null,
    'account_id',
    'a text of 1 to 255 characters that is no token, without control characters, and without white space at its ends',
  )
  const name = need(typeof row.name === 'string' ? normaliseName(row.name) : null, 'name', 'a text')
  const badName = name === null ? null : nameProblem(name)
  if (badName !== null) wrong.push(`name ${badName}`)
  const createdAt = past('created_at')
  const updatedAt = past('updated_at')
  const lastAccessed = row.last_accessed === null ? null : past('last_accessed')
  const expiresAt =
    row.expires_at === null || row.expires_at === INFINITY
      ? null
      : need(timeOf(row.expires_at), 'expires_at', `null, or ${TIME}`)
  const optional = readOptional(row, rules)
  if (Array.isArray(optional)) wrong.push(...optional)
  if (Array.isArray(optional) || wrong.length > 0) return wrong.join('; ')

  const { scopes, description, metadata } = optional
  const shown = {
    id: [oldId],
    account_id: [accountId],
    name: [name],
    scopes,
    description: description === null ? [] : [description],
    metadata: Object.entries(metadata).flat(),
  }
  for (const [member, texts] of Object.entries(shown)) {
    if (texts.some((one) => holdsCredential(one) || hashLegacyToken(one) === hash))
      return `${member} must not be a token`
  }
  return {
    tokenId: isUuid(oldId.toLowerCase()) ? oldId.toLowerCase() : importedTokenId(accountId, oldId),
    accountId,
    name,
    hash,
    hashKeyId: PLAIN_KEY_ID,
    hint: UNKNOWN_HINT,
    createdAt,
    updatedAt,
    lastAccessed,
    expiresAt,
    oldId,
    ...optional,
  }
}

type Optional = Pick<ImportedToken, 'scopes' | 'description' | 'metadata' | 'allowedIps'>

/**
 * The members that a row need not have, by the rules for tokens that are made here.
 * @returns what is wrong with them, if something is, without their values
 */
function readOptional(row: OldRow, { now, catalogue, reservedScope }: RowRules): Optional | string[] {
  const wrong: string[] = []
  const read = <T>(member: (typeof OPTIONAL)[number], is: (value: unknown) => value is T, what: string) => {
    const value = row[member] ?? null
    if (value === null || is(value)) return value
    wrong.push(`${member} must be null, or ${what}`)
    return null
  }
  const scopes = read('scopes', isTexts, 'a list of texts') ?? []
  const description = read('description', isText, 'a text')
  const metadata = read('metadata', isLabels, 'an object of texts') ?? {}
  const allowedIps = read('allowed_ips', isTexts, 'a list of texts')
  if (wrong.length > 0) return wrong
  const all = { scopes, description, metadata, allowedIps }
  const { description: text = null, allowedIps: blocks = null, ...normal } = normalise(all)
  try {
    const rules = { now, maxLifetimeDays: null, catalogue, reserved: reservedScope }
    assertValid({ scopes, description: text, metadata, allowedIps: blocks }, [], rules)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return error.errors.map(({ path: [member, part], message }) => {
      const place = typeof part === 'number' ? `/${part}` : ''
      return `${member === 'allowedIps' ? 'allowed_ips' : member}${place} ${message}`
    })
  }
  return {
    scopes: normal.scopes ?? [],
    description: text,
    metadata: merged({}, metadata),
    allowedIps: blocks,
  }
}

/** @returns the row, or text that says what is wrong with it */
function parse(text: string): OldRow | string {
  let row: unknown
  try {
    row = JSON.parse(text)
  } catch {
    return NO_OBJECT
  }
  if (row === null || typeof row !== 'object' || Array.isArray(row)) return NO_OBJECT
  if (repeatedMember(text) !== null) return 'it has a member twice: which of them is meant nobody can tell'
  return wrongMembers(Object.keys(row)) ?? (row as OldRow)
}

const NO_OBJECT = 'it is not a JSON object'
/** How many unknown members are named, and how many characters of the name of each. */
const MOST_UNKNOWN = 5
const SHOWN = 64

/** All members have to be there: one that is missing might be a misspelt expiry, and the token would never expire. */
function wrongMembers(names: readonly string[]): string | null {
  const known: readonly string[] = [...MEMBERS, ...OPTIONAL]
  const missing = MEMBERS.filter((member) => !names.includes(member))
  const unknown = names.filter((name) => !known.includes(name)).slice(0, MOST_UNKNOWN)
  if (missing.length === 0 && unknown.length === 0) return null
  const shown = unknown.map((name) => JSON.stringify(keptText(name).slice(0, SHOWN)))
  const wrong = [
    ...(missing.length > 0 ? [`it lacks ${missing.join(', ')}`] : []),
    ...(shown.length > 0 ? [`it has ${shown.join(', ')}, which no row may have`] : []),
  ]
  return `${wrong.join('; ')} (a row has ${MEMBERS.join(', ')}, and if wanted ${OPTIONAL.join(', ')})`
}

function idOf(value: unknown): string | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : null
  return isForeignId(value) ? value : null
}

const hashOf = (value: unknown): string | null =>
  typeof value === 'string' && SHA256_HEX.test(value) ? value.toLowerCase() : null

const timeOf = (value: unknown): string | null => (typeof value === 'string' ? parseTime(value) : null)

const isText = (value: unknown): value is string => typeof value === 'string'

const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText)

const isLabels = (value: unknown): value is Record<string, string> =>
  typeof value === 'object' && !Array.isArray(value) && Object.values(value ?? {}).every(isText)
