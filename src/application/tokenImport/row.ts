import { hashLegacyToken, holdsCredential, PLAIN_KEY_ID, UNKNOWN_HINT } from '../../domain/credential.ts'
import type { EventData } from '../../domain/events.ts'
import { repeatedMember } from '../../domain/json.ts'
import { isAccountId, isForeignId, nameProblem, normaliseName, parseTime } from '../../domain/rules.ts'
import { importedTokenId } from './ids.ts'
import { isUuid } from '../../domain/uuid.ts'

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
type OldRow = Record<(typeof MEMBERS)[number], unknown>

const SHA256_HEX = /^[0-9a-f]{64}$/i
/** As PostgreSQL writes a time that never comes. */
const INFINITY = 'infinity'
const TIME = 'an RFC 3339 time with its zone, like 2024-05-01T10:00:00Z'

/** Some editors and databases begin a file with it. It cannot be seen, and no JSON text begins with it. */
export const BYTE_ORDER_MARK = '\uFEFF'

/**
 * Reads a row of an old table as a token of this service.
 * @param text one JSON object with all of `MEMBERS` and no other
 * @param now RFC 3339 UTC: times at which something has happened to the token must not be later
 * @returns the token; or, for a row that cannot be imported, text that says what is wrong with it, without its values
 */
export function readRow(text: string, now: string): ImportedToken | string {
  if (text.startsWith(BYTE_ORDER_MARK))
    return 'it begins with a byte order mark (BOM, U+FEFF): write the file anew, as UTF-8 without one'
  const row = parse(text)
  if (row === 'repeats') return 'it has a member twice: which of them is meant nobody can tell'
  if (!row) return `it is not a JSON object with the members ${MEMBERS.join(', ')} and no other`
  const wrong: string[] = []
  const need = <T>(value: T | null, member: keyof OldRow, what: string): T => {
    if (value === null) wrong.push(`${member} must be ${what}`)
    return value as T
  }
  const past = (member: keyof OldRow): string => {
    const time = need(timeOf(row[member]), member, TIME)
    if (time > now) wrong.push(`${member} must not be in the future`)
    return time
  }

  const oldId = need(idOf(row.id), 'id', 'a text of 1 to 255 characters, or a whole number')
  const hash = need(hashOf(row.token), 'token', 'the SHA-256 of the token in 64 hexadecimal digits')
  const accountId = need(
    isAccountId(row.account_id) ? row.account_id : null,
    'account_id',
    'a text of 1 to 255 characters, none of them a control character, without white space at its ends',
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
  if (wrong.length > 0) return wrong.join('; ')

  const shown = { id: oldId, account_id: accountId, name }
  for (const [member, value] of Object.entries(shown)) {
    if (holdsCredential(value) || hashLegacyToken(value) === hash) return `${member} must not be a token`
  }
  return {
    tokenId: isUuid(oldId.toLowerCase()) ? oldId.toLowerCase() : importedTokenId(accountId, oldId),
    accountId,
    name,
    hash,
    hashKeyId: PLAIN_KEY_ID,
    hint: UNKNOWN_HINT,
    scopes: [],
    createdAt,
    updatedAt,
    lastAccessed,
    expiresAt,
    oldId,
    description: null,
    metadata: {},
    allowedIps: null,
  }
}

/** All members have to be there: one that is missing might be a misspelt expiry, and the token would never expire. */
function parse(text: string): OldRow | 'repeats' | null {
  try {
    const row: unknown = JSON.parse(text)
    if (repeatedMember(text) !== null) return 'repeats'
    if (row === null || typeof row !== 'object' || Array.isArray(row)) return null
    const isWhole = MEMBERS.every((member) => Object.hasOwn(row, member))
    return isWhole && Object.keys(row).length === MEMBERS.length ? (row as OldRow) : null
  } catch {
    return null
  }
}

function idOf(value: unknown): string | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : null
  return isForeignId(value) ? value : null
}

const hashOf = (value: unknown): string | null =>
  typeof value === 'string' && SHA256_HEX.test(value) ? value.toLowerCase() : null

const timeOf = (value: unknown): string | null => (typeof value === 'string' ? parseTime(value) : null)
