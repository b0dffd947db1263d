import type { Block } from '../../domain/address.ts'
import type { Principal } from '../../domain/principal.ts'
import { bytesOf } from '../../domain/text.ts'
import type { Instant } from '../ports/clock.ts'

/** What authentication needs of a token and one of its secrets, ready to use. */
export interface TokenRecord {
  principal: Principal
  tokenId: string
  /** Milliseconds since 1970. */
  createdAt: number
  /** The revision of the event that brought the secret. */
  secret: number
  /** Until when the secret is accepted beside a newer one: milliseconds since 1970; Infinity if it is not retiring. */
  retiresAt: number
  /** Is it a newer secret that nobody has used yet, as far as is known? */
  isUnused: boolean
  /** From where the token is accepted; null: from anywhere. */
  allowedIps: readonly Block[] | null
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

/** What is known of a credential that was a secret of a token, and is none any more. */
export interface RetiredSecret {
  isRetired: true
  tokenId: string
  /** Null where nobody knows whose the token is, since its history is damaged. */
  accountId: string | null
  /** The revision of the event that brought the secret. */
  secret: number
}

/** Beyond this, in bytes, the records that came first are removed. So they are beyond their largest number. */
const MAX_BYTES = 64 * 1024 * 1024
/** The bytes of a record besides its texts, including what is made from it to answer quickly. */
const RECORD_BYTES = 480

/**
 * Records by the key of their secret; a token may have two. At the cap, the one that came first is removed. A record
 * that was removed would not be marked when its token changes, so it becomes stale at once.
 */
export function createRecords(cap: number) {
  const records = new Map<string, TokenRecord>()
  /** By token, since all records of a token are forgotten together. */
  const keys = new Map<string, readonly string[]>()
  const shared = createShared()
  let bytes = 0

  function forget(key: string, record: TokenRecord): void {
    record.stale = true
    bytes -= bytesOfRecord(record)
    records.delete(key)
    shared.release(record)
    const others = keys.get(record.tokenId)?.filter((other) => other !== key) ?? []
    if (others.length > 0) keys.set(record.tokenId, others)
    else keys.delete(record.tokenId)
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
      shared.take(record)
      bytes += bytesOfRecord(record)
      for (const [oldest, gone] of records) {
        if (records.size < cap && bytes + shared.bytes() <= MAX_BYTES) break
        forget(oldest, gone)
      }
      records.set(key, record)
      keys.set(record.tokenId, [...(keys.get(record.tokenId) ?? []), key])
      return record
    },

    forget(tokenId: string): void {
      for (const key of keys.get(tokenId) ?? []) {
        const record = records.get(key)
        if (record) forget(key, record)
      }
    },

    forgetAll(): void {
      for (const record of records.values()) record.stale = true
      records.clear()
      keys.clear()
      shared.clear()
      bytes = 0
    },

    size: () => records.size,
    bytes: () => bytes + shared.bytes(),
  }
}

/** The answer of `/auth/verify` is kept with the record, and has these texts once more. */
const bytesOfRecord = ({ principal: { accountId, scopes } }: TokenRecord): number =>
  scopes.reduce((sum, scope) => sum + bytesOf(scope), RECORD_BYTES + 4 * accountId.length)

type Shared = readonly string[] | Readonly<Record<string, string>> | readonly Block[]

/** Lists and metadata of records. Those of many tokens are equal, and are kept once. */
function createShared() {
  const kept = new Map<string, { value: Shared; users: number }>()
  let bytes = 0

  function one<T extends Shared>(value: T): T {
    const text = JSON.stringify(value)
    const known = kept.get(text)
    if (known) {
      known.users++
      return known.value as T
    }
    kept.set(text, { value, users: 1 })
    bytes += bytesOfShared(text)
    return value
  }

  function free(value: Shared): void {
    const text = JSON.stringify(value)
    const known = kept.get(text)
    if (!known || --known.users > 0) return
    kept.delete(text)
    bytes -= bytesOfShared(text)
  }

  return {
    /** Replaces what a record has by what others have already. */
    take(record: TokenRecord): void {
      const { principal, allowedIps } = record
      record.principal = Object.freeze({
        ...principal,
        scopes: one(principal.scopes),
        metadata: one(principal.metadata ?? {}),
      })
      if (allowedIps) record.allowedIps = one(allowedIps)
    },
    release({ principal, allowedIps }: TokenRecord): void {
      free(principal.scopes)
      free(principal.metadata ?? {})
      if (allowedIps) free(allowedIps)
    },
    clear(): void {
      kept.clear()
      bytes = 0
    },
    bytes: () => bytes,
  }
}

/** The text itself, the value, and what holds them. */
const bytesOfShared = (text: string): number => 200 + 4 * bytesOf(text)
