import type { Principal } from '../../domain/principal.ts'
import { bytesOf } from '../../domain/text.ts'
import type { Instant } from '../ports/clock.ts'

/** What authentication needs of a token, ready to use. */
export interface TokenRecord {
  principal: Principal
  tokenId: string
  /** Milliseconds since 1970. */
  createdAt: number
  /** Milliseconds since 1970; Infinity if it never expires. */
  expiresAt: number
  revoked: boolean
  /** Why the token's history is not trusted, or null. */
  stopped: string | null
  /** The revision of the token's stream that this record shows. */
  revision: number
  /** The time at which the last look-up began that gave this record. */
  readAt: Instant
  /**
   * True once the token has changed: code that still holds the record has to look it up again before it accepts the
   * token.
   */
  stale: boolean
}

/** Beyond this, in bytes, the records that came first are removed. So they are beyond their largest number. */
const MAX_BYTES = 96 * 1024 * 1024
/** The bytes of a record besides its texts, including what is made from it to answer quickly. */
const RECORD_BYTES = 440

/**
 * Records by the key of their token. At the cap, the one that came first is removed. A record that was removed would
 * not be marked when its token changes, so it becomes stale at once.
 */
export function createRecords(cap: number) {
  const records = new Map<string, TokenRecord>()
  const keys = new Map<string, string>()
  let bytes = 0

  function forget(key: string, record: TokenRecord): void {
    record.stale = true
    bytes -= bytesOfRecord(record)
    records.delete(key)
    keys.delete(record.tokenId)
  }

  return {
    get: (key: string): TokenRecord | undefined => records.get(key),

    /** @returns the record that is kept from now on */
    keep(key: string, record: TokenRecord): TokenRecord {
      const known = records.get(key)
      if (known && known.revision >= record.revision && known.stopped === record.stopped) {
        // All holders share one record, so that each of them notices a change.
        if (known.readAt.monotonic < record.readAt.monotonic) known.readAt = record.readAt
        return known
      }
      if (known) forget(key, known)
      bytes += bytesOfRecord(record)
      for (const [oldest, gone] of records) {
        if (records.size < cap && bytes <= MAX_BYTES) break
        forget(oldest, gone)
      }
      records.set(key, record)
      keys.set(record.tokenId, key)
      return record
    },

    forget(tokenId: string): void {
      const key = keys.get(tokenId)
      const record = key === undefined ? undefined : records.get(key)
      if (key !== undefined && record) forget(key, record)
    },

    forgetAll(): void {
      for (const record of records.values()) record.stale = true
      records.clear()
      keys.clear()
      bytes = 0
    },

    size: () => records.size,
    bytes: () => bytes,
  }
}

/** Its texts are in memory twice: in the record and in the answer of `/auth/verify`. */
const bytesOfRecord = ({ principal: { accountId, scopes } }: TokenRecord): number =>
  scopes.reduce((sum, scope) => sum + 2 * bytesOf(scope), RECORD_BYTES + 4 * accountId.length)
