import { hash } from 'node:crypto'
import type { TokenDocument } from '../../projections/tokens.ts'
import { hashToken, type Pepper } from '../domain/credential.ts'
import type { Principal } from './principal.ts'
import type { ReadModel } from './ports.ts'

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
  /** Set once the token has changed: whoever still holds the record must look again before saying yes. */
  stale: boolean
}

export interface TokenIndex {
  /** A record that was current when it was returned, or null for an unknown token. */
  find(token: string): TokenRecord | Promise<TokenRecord | null>
  /** Forgets tokens that have changed. Look-ups under way that began before this start again. */
  evict(tokenIds: ReadonlySet<string>): void
  size(): number
}

/**
 * A bounded index in front of the read model, keyed by the SHA-256 of the token, never by the token. Only tokens that
 * exist are kept: a credential nobody knows costs a look-up each time, and a new token is never taken for unknown.
 * At the cap the record that came first goes.
 */
export function createTokenIndex(readModel: ReadModel, peppers: readonly Pepper[], cap: number): TokenIndex {
  const records = new Map<string, TokenRecord>()
  const keys = new Map<string, string>()
  let changes = 0

  async function load(token: string, key: string): Promise<TokenRecord | null> {
    for (;;) {
      const before = changes
      const hashes = peppers.map((pepper) => hashToken(pepper, token))
      const [found] = await readModel.find('tokens', {
        where: [{ field: 'hash', op: 'in', value: hashes }],
        limit: 1,
      })
      // Something changed while this was on its way: it may be from before the change, so it decides nothing.
      if (before !== changes) continue
      if (!found) return null
      return records.get(key) ?? keep(key, toRecord(found as unknown as TokenDocument))
    }
  }

  function keep(key: string, record: TokenRecord): TokenRecord {
    if (records.size >= cap) {
      for (const [oldest, gone] of records) {
        forget(oldest, gone)
        break
      }
    }
    records.set(key, record)
    keys.set(record.tokenId, key)
    return record
  }

  /** Whoever holds a record that is no longer here would not hear of a change: it has to look again. */
  function forget(key: string, record: TokenRecord): void {
    record.stale = true
    records.delete(key)
    keys.delete(record.tokenId)
  }

  return {
    find(token) {
      const key = hash('sha256', token, 'base64')
      return records.get(key) ?? load(token, key)
    },

    evict(tokenIds) {
      changes++
      for (const tokenId of tokenIds) {
        const key = keys.get(tokenId)
        const record = key === undefined ? undefined : records.get(key)
        if (key !== undefined && record) forget(key, record)
      }
    },

    size: () => records.size,
  }
}

function toRecord(token: TokenDocument): TokenRecord {
  const { id, accountId, scopes, expiresAt, revokedAt, revision, stopped = null } = token
  return {
    principal: Object.freeze({ kind: 'token', accountId, tokenId: id, scopes: Object.freeze([...scopes]) }),
    tokenId: id,
    expiresAt: expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt),
    revoked: revokedAt !== null,
    stopped,
    revision,
    stale: false,
  }
}
