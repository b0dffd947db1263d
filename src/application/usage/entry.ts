import { routeOf } from '../../../projections/tokenUsage.ts'
import type { UsageEntry } from '../../domain/usageEntries.ts'
import { iso } from '../ports/clock.ts'

/** The uses of a token by one secret, in one window and hour, that were decided on one revision. */
export interface Entry {
  tokenId: string
  accountId: string
  secret: number
  revision: number
  hour: number
  count: number
  firstAt: number
  lastAt: number
  /** The number of uses by outcome, for each `<METHOD> <route>`. */
  routes: Map<string, Record<string, number>>
  addresses: Callers
  userAgents: Callers
  /** How much of the window's room it takes. */
  size: number
  bytes: number
}

export interface Callers {
  last: string | null
  /** Null while all uses came from `last`, since then nothing has to be counted. */
  named: { text: string | null; count: number }[] | null
  other: number
  /** Is the last caller one of those that are not listed in `named`? */
  isOther: boolean
}

/** The entry as an event holds it, without members that others already imply. */
export function toData(entry: Entry): UsageEntry {
  const { addresses, userAgents } = entry
  const outcomes = sumOf([...entry.routes.values()])
  const several = Object.keys(outcomes).length > 1
  return {
    tokenId: entry.tokenId,
    accountId: entry.accountId,
    count: entry.count,
    firstAt: iso(entry.firstAt),
    lastAt: iso(entry.lastAt),
    outcomes,
    routes: [...entry.routes].map(([key, own]) => {
      const count = Object.values(own).reduce((sum, n) => sum + n, 0)
      return { ...routeOf(key), count, ...(several ? { outcomes: own } : {}) }
    }),
    tokenRevision: entry.revision,
    secret: entry.secret,
    lastIp: addresses.last,
    lastUserAgent: userAgents.last,
    ...(addresses.named && {
      addresses: addresses.named.map(({ text, count }) => ({ ip: text, count })),
      ...(addresses.other > 0 ? { otherAddresses: addresses.other } : {}),
    }),
    ...(userAgents.named && {
      userAgents: userAgents.named.map(({ text, count }) => ({ userAgent: text, count })),
      ...(userAgents.other > 0 ? { otherUserAgents: userAgents.other } : {}),
    }),
  }
}

function sumOf(tallies: readonly Record<string, number>[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const tally of tallies) {
    for (const [outcome, n] of Object.entries(tally)) sum[outcome] = (sum[outcome] ?? 0) + n
  }
  return sum
}
