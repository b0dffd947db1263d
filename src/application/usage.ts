import type { TokenDocument } from '../../projections/tokens.ts'
import {
  bucketStart,
  type Granularity,
  OTHER_ROUTES,
  routeOf,
  type UsageDocument,
} from '../../projections/tokenUsage.ts'
import { eachDocument } from './pages.ts'
import { type Clock, type Condition, iso, type ReadModel } from './ports.ts'
import { isOnRoute, type RouteFilter } from './routeFilter.ts'

/** `from` is inclusive, `to` exclusive, both RFC 3339 UTC. Counted by the hour: an hour that overlaps counts whole. */
export interface UsageRange {
  from: string
  to: string
  granularity: Granularity
}

export interface Tally {
  requests: number
  /** Null where they are not known: requests of one route are counted without them. */
  outcomes: Record<string, number> | null
}

export interface Usage extends UsageRange {
  /**
   * The route that was asked for: then only requests on it are counted. `other` is how many requests of the range are
   * on routes that were not kept by name; some of them may be on this one.
   */
  filter: (RouteFilter & { other: number }) | null
  total: Tally
  lastAccessed: string | null
  /** Oldest first; those without a use are left out. */
  buckets: (Tally & { at: string })[]
  /** Most used first. */
  routes: { method: string; route: string; requests: number }[]
  /** Most used first: every token that was used in the range or is not revoked. Empty for a single token. */
  tokens: { tokenId: string; name: string; requests: number; lastAccessed: string | null }[]
}

export interface UsageQueries {
  usageOfToken(token: TokenDocument, range: UsageRange, route?: RouteFilter): Promise<Usage>
  usageOfAccount(accountId: string, range: UsageRange, route?: RouteFilter): Promise<Usage>
}

const DAY_MS = 86_400_000

export function createUsageQuery(readModel: ReadModel, clock: Clock): UsageQueries {
  const each = <T>(collection: string, where: readonly Condition[]): AsyncGenerator<T> =>
    eachDocument(readModel, collection, where)

  async function collect(owner: Condition, range: UsageRange, route?: RouteFilter): Promise<Collected> {
    const collected: Collected = {
      filter: route ? { ...route, other: 0 } : null,
      total: empty(route),
      buckets: new Map(),
      routes: new Map(),
      byToken: new Map(),
    }
    for (const segment of segments(range, iso(clock()))) {
      for await (const document of each<UsageDocument>('tokenUsage', inSegment(owner, segment))) {
        add(collected, document, range.granularity)
      }
    }
    return collected
  }

  return {
    async usageOfToken(token, range, route) {
      const collected = await collect({ field: 'tokenId', op: 'eq', value: token.id }, range, route)
      return present(collected, range, token.lastAccessed ?? null, [])
    },

    async usageOfAccount(accountId, range, route) {
      const ofAccount: Condition = { field: 'accountId', op: 'eq', value: accountId }
      const collected = await collect(ofAccount, range, route)
      const tokens: Usage['tokens'] = []
      let newest: string | null = null
      for await (const { id, name, lastAccessed = null, revokedAt } of each<TokenDocument>('tokens', [
        ofAccount,
      ])) {
        const requests = collected.byToken.get(id) ?? 0
        if (lastAccessed !== null && (newest === null || lastAccessed > newest)) newest = lastAccessed
        if (requests > 0 || revokedAt === null) tokens.push({ tokenId: id, name, requests, lastAccessed })
      }
      return present(
        collected,
        range,
        newest,
        tokens.sort((a, b) => b.requests - a.requests),
      )
    },
  }
}

/**
 * Which buckets to add up. Whole days come from day buckets; the days that the range cuts, and everything when hours
 * are asked for, from hour buckets. A range that reaches to now takes today whole.
 */
export function segments({ from, to, granularity }: UsageRange, now: string): UsageRange[] {
  const firstHour = bucketStart(from, 'hour')
  const hours = (start: string, end: string): UsageRange => ({ granularity: 'hour', from: start, to: end })
  const firstDay = dayFrom(from)
  const endDay = to >= now ? dayFrom(to) : bucketStart(to, 'day')
  if (granularity === 'hour' || firstDay >= endDay) return [hours(firstHour, to)]
  return [
    hours(firstHour, firstDay),
    { granularity: 'day' as const, from: firstDay, to: endDay },
    hours(endDay, to),
  ].filter((segment) => segment.from < segment.to)
}

/** The buckets of a segment, of the tokens that `owner` finds. */
export const inSegment = (owner: Condition, { granularity, from, to }: UsageRange): Condition[] => [
  owner,
  { field: 'granularity', op: 'eq', value: granularity },
  { field: 'at', op: 'gte', value: from },
  { field: 'at', op: 'lt', value: to },
]

/** The first midnight at or after a time. */
function dayFrom(at: string): string {
  const start = bucketStart(at, 'day')
  return start === at ? start : iso(Date.parse(start) + DAY_MS)
}

interface Collected {
  filter: Usage['filter']
  total: Tally
  buckets: Map<string, Tally>
  routes: Map<string, number>
  byToken: Map<string, number>
}

const empty = (route?: RouteFilter | null): Tally => ({ requests: 0, outcomes: route ? null : {} })

function add(collected: Collected, document: UsageDocument, granularity: Granularity): void {
  const { filter, byToken } = collected
  const routes = Object.entries(document.routes).filter(([key]) => !filter || isOnRoute(key, filter))
  const requests = filter ? routes.reduce((sum, [, n]) => sum + n, 0) : document.requests
  if (filter) filter.other += document.routes[OTHER_ROUTES] ?? 0
  if (requests === 0) return
  const at = bucketStart(document.at, granularity)
  const bucket = collected.buckets.get(at) ?? empty(filter)
  collected.buckets.set(at, bucket)
  for (const tally of [collected.total, bucket]) {
    tally.requests += requests
    if (tally.outcomes === null) continue
    for (const [outcome, n] of Object.entries(document.outcomes)) {
      tally.outcomes[outcome] = (tally.outcomes[outcome] ?? 0) + n
    }
  }
  for (const [route, n] of routes) collected.routes.set(route, (collected.routes.get(route) ?? 0) + n)
  byToken.set(document.tokenId, (byToken.get(document.tokenId) ?? 0) + requests)
}

function present(
  { filter, total, buckets, routes }: Collected,
  range: UsageRange,
  lastAccessed: string | null,
  tokens: Usage['tokens'],
): Usage {
  return {
    ...range,
    filter,
    total,
    lastAccessed,
    buckets: [...buckets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([at, tally]) => ({ at, ...tally })),
    routes: [...routes]
      .sort(([a, n], [b, m]) => m - n || (a === OTHER_ROUTES ? 1 : b === OTHER_ROUTES ? -1 : a < b ? -1 : 1))
      .map(([key, requests]) => ({ ...routeOf(key), requests })),
    tokens,
  }
}
