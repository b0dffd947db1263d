import type { Fact } from '../../domain/events.ts'
import { keptText, LOOKED_AT } from '../../domain/credential.ts'
import { cutText, ownCopy } from '../../domain/text.ts'
import { DAY_MS } from '../../domain/time.ts'
import type { RetiredEntry } from '../../domain/usageEntries.ts'
import { iso } from '../ports/clock.ts'

/** A refused request with a secret that its token had until a rotation. */
export interface RetiredUse {
  tokenId: string
  accountId: string
  /** The revision of the event that brought the secret. */
  secret: number
  /** Milliseconds since 1970. */
  at: number
  ip: string | null
  userAgent: string | null
}

/** Counts such requests until they are stored. */
export interface RetiredUses {
  /** Beyond the cap nothing is counted here; the metric has all of them. */
  count(use: RetiredUse): void
  /** Takes as many entries as an event holds; null when all are taken. */
  take(): Fact<'RetiredSecretsUsed'> | null
  /** The number of entries that are not taken. */
  size(): number
}

/** How many entries wait at most: that many secrets, each with an address and a user agent, take about 5 MB. */
const MOST = 5_000
const PER_EVENT = 100

type Waiting = Omit<RetiredEntry, 'firstAt' | 'lastAt'> & { firstAt: number; lastAt: number }

/** One entry for each token, secret and UTC day. */
export function createRetiredUses(most = MOST): RetiredUses {
  const waiting = new Map<string, Waiting>()

  return {
    count({ tokenId, accountId, secret, at, ip, userAgent }) {
      const key = `${tokenId} ${secret} ${Math.floor(at / DAY_MS)}`
      const known = waiting.get(key)
      if (!known && waiting.size >= most) return
      const last = { lastIp: keep(ip), lastUserAgent: keep(userAgent) }
      const count = (known?.count ?? 0) + 1
      const times = {
        firstAt: Math.min(known?.firstAt ?? at, at),
        lastAt: Math.max(known?.lastAt ?? at, at),
      }
      waiting.set(key, { tokenId, accountId, secret, count, ...times, ...last })
    },

    take() {
      const entries: RetiredEntry[] = []
      for (const [key, { firstAt, lastAt, ...entry }] of waiting) {
        if (entries.length === PER_EVENT) break
        waiting.delete(key)
        const by = { lastIp: masked(entry.lastIp), lastUserAgent: masked(entry.lastUserAgent) }
        entries.push({ ...entry, ...by, firstAt: iso(firstAt), lastAt: iso(lastAt) })
      }
      return entries.length === 0 ? null : { type: 'RetiredSecretsUsed', data: { entries } }
    },

    size: () => waiting.size,
  }
}

/** A slice of a caller's text would keep the whole header of a request in memory. */
const keep = (text: string | null): string | null => text && ownCopy(cutText(text, LOOKED_AT))
const masked = (text: string | null): string | null => (text === null ? null : keptText(text))
