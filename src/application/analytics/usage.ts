import type { TokenDocument } from '../../../projections/tokens.ts'
import { bucketStart, OTHER_ROUTES, routeOf, type UsageDocument } from '../../../projections/tokenUsage.ts'
import { eachBucket, type Effort, type Owner, type UsageRange } from './buckets.ts'
import { addAll, createTop, eachDocument, findById } from '../readModel/pages.ts'
import { type Clock, iso } from '../ports/clock.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { isOnRoute, type RouteFilter } from './routeFilter.ts'
import {
  addSecrets,
  type RetiredSum,
  retiredUses,
  type SecretUses,
  secretUses,
  type UsesBySecret,
} from './secretUses.ts'
import * as tokensThat from '../readModel/statuses.ts'
import { DAY_MS } from '../../domain/time.ts'

export interface Tally {
  requests: number
  /** Null where they are not known, since requests of one route are counted without their outcomes. */
  outcomes: Record<string, number> | null
}

export interface Usage extends UsageRange {
  /**
   * The route that was asked for; then only requests on it are counted. `other` is the number of requests in the range
   * on routes that were not kept by name; some of these may have been on this route.
   */
  filter: (RouteFilter & { other: number }) | null
  total: Tally
  lastAccessed: string | null
  /** Oldest first. Buckets without a use are left out. */
  buckets: (Tally & { at: string })[]
  /** Most used first. All behind the first ones are added up as `OTHER_ROUTES`. */
  routes: { method: string; route: string; requests: number }[]
  /**
   * First the tokens that were used in the range, most used first, then other active ones. Empty for a single token.
   */
  tokens: { tokenId: string; name: string; requests: number; lastAccessed: string | null }[]
  /** Are there more tokens than are listed? */
  moreTokens: boolean
}

export interface UsageOfToken extends Usage {
  /** Null where they are not known, as for outcomes. */
  secrets: SecretUses[] | null
  /** Null: there were none. */
  retiredSecretUses: RetiredSum | null
}

export interface UsageOptions extends Effort {
  route?: RouteFilter | undefined
}

export interface UsageQueries {
  /** @throws Refusal, as `eachBucket` */
  usageOfToken(token: TokenDocument, range: UsageRange, options?: UsageOptions): Promise<UsageOfToken>
  usageOfAccount(accountId: string, range: UsageRange, options?: UsageOptions): Promise<Usage>
  /** Since the token was made. Null: there were none. */
  retiredUsesOf(token: TokenDocument, signal?: AbortSignal): Promise<RetiredSum | null>
}

const MOST_TOKENS = 1_000
const MOST_ROUTES = 1_000
/** How many routes are kept by name while they are added up. */
const NAMED = 5_000

export function createUsageQuery(readModel: DocumentReader, clock: Clock): UsageQueries {
  async function collect(owner: Owner, range: UsageRange, options: UsageOptions): Promise<Collected> {
    const { route } = options
    const collected: Collected = {
      filter: route ? { ...route, other: 0 } : null,
      total: empty(route),
      buckets: new Map(),
      routes: new Map(),
      byToken: new Map(),
      bySecret: new Map(),
    }
    const buckets = eachBucket(readModel, owner, { range, now: iso(clock()) }, options)
    for await (const bucket of buckets) add(collected, bucket, range)
    return collected
  }

  /** The last use of all tokens of an account, including revoked ones. */
  async function lastAccessedOf(accountId: string): Promise<string | null> {
    const newest = await Promise.all(
      tokensThat
        .inAnyPhase(accountId)
        .map((where) =>
          readModel.find('tokens', { where, order: { field: 'lastAccessed', descending: true }, limit: 1 }),
        ),
    )
    const times = newest.flatMap(([token]) => (token as TokenDocument | undefined)?.lastAccessed ?? [])
    return times.sort().at(-1) ?? null
  }

  /**
   * Revoked and expired tokens that were not used cost nothing, since the index that is read here does not have them.
   */
  async function tokensOf(accountId: string, byToken: ReadonlyMap<string, number>, signal?: AbortSignal) {
    const used = createTop<readonly [id: string, requests: number]>(MOST_TOKENS, byRequests)
    await addAll(used, byToken, signal)
    const rows = used.first()
    const unused: TokenDocument[] = []
    let isMore = used.total() > rows.length
    const where = tokensThat.active(accountId, iso(clock()))
    const active = eachDocument<TokenDocument>(readModel, 'tokens', { where, order: EXPIRY, signal })
    for await (const token of active) {
      if (byToken.has(token.id)) continue
      isMore ||= rows.length + unused.length >= MOST_TOKENS
      if (isMore) break
      unused.push(token)
    }
    const found = await findById<TokenDocument>(
      readModel,
      'tokens',
      rows.map(([id]) => id),
      signal,
    )
    const known = new Map(found.map((token) => [token.id, token]))
    const listed = [...rows.flatMap(([id]) => known.get(id) ?? []), ...unused.sort(byId)]
    return { isMore, listed }
  }

  return {
    async usageOfToken(token, range, options = {}) {
      const collected = await collect({ tokenId: token.id }, range, options)
      // The token may have been used since it was read.
      const latest = ((await readModel.get('tokens', token.id)) as TokenDocument | null) ?? token
      const { signal } = options
      const retired = await retiredUses(readModel, { tokenId: token.id }, range, signal)
      return {
        ...present(collected, range),
        lastAccessed: latest.lastAccessed ?? null,
        ...NO_TOKENS,
        secrets: collected.filter ? null : await secretUses(readModel, latest, collected.bySecret, signal),
        retiredSecretUses: retired.get(token.id) ?? null,
      }
    },

    async usageOfAccount(accountId, range, options = {}) {
      const collected = await collect({ accountId }, range, options)
      const { listed, isMore } = await tokensOf(accountId, collected.byToken, options.signal)
      return {
        ...present(collected, range),
        lastAccessed: await lastAccessedOf(accountId),
        tokens: listed.map(({ id, name, lastAccessed = null }) => ({
          tokenId: id,
          name,
          requests: collected.byToken.get(id) ?? 0,
          lastAccessed,
        })),
        moreTokens: isMore,
      }
    },

    async retiredUsesOf({ id, createdAt }, signal) {
      // The clocks of other processes may be ahead.
      const range = { from: createdAt, to: iso(clock() + DAY_MS) }
      return (await retiredUses(readModel, { tokenId: id }, range, signal)).get(id) ?? null
    },
  }
}

const NO_TOKENS = { tokens: [], moreTokens: false }
/** The order of the index that knows which tokens are active. */
const EXPIRY = { field: 'expiresAt' }

type OfToken = readonly [id: string, requests: number]

/** Most requests first. */
export const byRequests = ([a, n]: OfToken, [b, m]: OfToken): number => m - n || (a < b ? -1 : 1)

const byId = (a: TokenDocument, b: TokenDocument): number => (a.id < b.id ? -1 : 1)

interface Collected {
  filter: Usage['filter']
  total: Tally
  /** In the order in which they were read: oldest first. */
  buckets: Map<string, Tally>
  routes: Map<string, number>
  byToken: Map<string, number>
  bySecret: UsesBySecret
}

const empty = (route?: RouteFilter | null): Tally => ({ requests: 0, outcomes: route ? null : {} })

function add(collected: Collected, document: UsageDocument, { granularity }: UsageRange): void {
  const { filter, byToken, bySecret } = collected
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
  addSecrets(bySecret, document)
  for (const [route, n] of routes) addRoute(collected.routes, route, n)
  byToken.set(document.tokenId, (byToken.get(document.tokenId) ?? 0) + requests)
}

function addRoute(routes: Map<string, number>, route: string, n: number): void {
  const key = routes.has(route) || routes.size < NAMED ? route : OTHER_ROUTES
  routes.set(key, (routes.get(key) ?? 0) + n)
}

function present(
  { filter, total, buckets, routes }: Collected,
  range: UsageRange,
): Omit<Usage, 'lastAccessed' | 'tokens' | 'moreTokens'> {
  return {
    ...range,
    filter,
    total,
    buckets: [...buckets].map(([at, tally]) => ({ at, ...tally })),
    routes: shownRoutes(routes).map(([key, requests]) => ({ ...routeOf(key), requests })),
  }
}

/**
 * The most used routes by name. All others are added up as one route, which comes last among routes with equal counts.
 */
function shownRoutes(routes: ReadonlyMap<string, number>): OfRoute[] {
  const named = createTop<OfRoute>(MOST_ROUTES, byUse)
  let all = 0
  for (const entry of routes) {
    all += entry[1]
    if (entry[0] !== OTHER_ROUTES) named.add(entry)
  }
  const shown = named.first()
  const other = all - shown.reduce((sum, [, n]) => sum + n, 0)
  return other > 0 ? [...shown, [OTHER_ROUTES, other] as const].sort(byUse) : shown
}

type OfRoute = readonly [key: string, requests: number]

const byUse = ([a, n]: OfRoute, [b, m]: OfRoute): number =>
  m - n || (a === OTHER_ROUTES ? 1 : b === OTHER_ROUTES ? -1 : a < b ? -1 : 1)
