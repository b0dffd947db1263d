import type { EventData } from '../domain/events.ts'
import { iso } from './ports.ts'
import type { TokenRecord } from './tokenIndex.ts'

/** The uses of a token in one window and hour, decided on one revision. */
export interface Entry {
  record: TokenRecord
  hour: number
  count: number
  firstAt: number
  lastAt: number
  routes: Map<string, RouteEntry>
  lastIp: string | null
  lastUserAgent: string | null
  /** Null while all uses came from `lastIp`: then nothing needs counting. */
  addresses: Callers | null
  userAgents: Callers | null
}

export interface RouteEntry {
  method: string
  route: string
  outcomes: Record<string, number>
}

export interface Callers {
  named: { text: string | null; count: number }[]
  other: number
}

/** The entry as an event, without what its other members say already. */
export function toData(entry: Entry): EventData<'TokenUsed'> {
  const { record, addresses, userAgents } = entry
  const routes = [...entry.routes.values()]
  const outcomes = sumOf(routes.map((route) => route.outcomes))
  const several = Object.keys(outcomes).length > 1
  return {
    tokenId: record.tokenId,
    accountId: record.principal.accountId,
    count: entry.count,
    firstAt: iso(entry.firstAt),
    lastAt: iso(entry.lastAt),
    outcomes,
    routes: routes.map(({ method, route, outcomes: own }) => {
      const count = Object.values(own).reduce((sum, n) => sum + n, 0)
      return { method, route, count, ...(several ? { outcomes: own } : {}) }
    }),
    tokenRevision: record.revision,
    lastIp: entry.lastIp,
    lastUserAgent: entry.lastUserAgent,
    ...(addresses && {
      addresses: addresses.named.map(({ text, count }) => ({ ip: text, count })),
      ...(addresses.other > 0 ? { otherAddresses: addresses.other } : {}),
    }),
    ...(userAgents && {
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
