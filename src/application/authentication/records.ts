import type { Principal } from '../../domain/principal.ts'
import { bytesOf } from '../../domain/text.ts'
import type { Instant } from '../ports/clock.ts'

/** What authentication needs of a token, ready to use. */
export interface TokenRecord {
  principal: Principal
  tokenId: string
  /** Milliseconds since 1970; Infinity for never. */
  expiresAt: number
  revoked: boolean
  /** Why the token's history is not trusted, or null. */
  stopped: string | null
  /** Stream revision that decisions by this record are made on. */
  revision: number
  /** When the look-up began that this was last seen by. */
  readAt: Instant
  /** Set once the token has changed: whoever still holds the record must look again before saying yes. */
  stale: boolean
}

/** Beyond it the records that came first go, as beyond their number. */
const MAX_BYTES = 96 * 1024 * 1024
/** What a record takes besides its texts, with what is made of it to answer quickly. */
const RECORD_BYTES = 440

/**
 * Records by the key of their token. At the cap the one that came first goes. Whoever holds one that is no longer here
 * would not hear of a change: it is stale, and has to be looked up again.
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

    /** @returns the record that is here from now on */
    keep(key: string, record: TokenRecord): TokenRecord {
      const known = records.get(key)
      if (known && known.revision >= record.revision && known.stopped === record.stopped) {
        // One record for all who hold it, so that each hears of a change.
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

/** Its texts are here twice: in the record and in the answer of `/auth/verify`. */
const bytesOfRecord = ({ principal: { accountId, scopes } }: TokenRecord): number =>
  scopes.reduce((sum, scope) => sum + 2 * bytesOf(scope), RECORD_BYTES + 4 * accountId.length)
