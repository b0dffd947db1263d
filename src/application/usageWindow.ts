import { isManagement } from '../../projections/tokenActivity.ts'
import { OTHER_ROUTES } from '../../projections/tokenUsage.ts'
import { LOOKED_AT } from '../domain/credential.ts'
import type { EventData } from '../domain/events.ts'
import { iso } from './ports.ts'
import type { TokenRecord } from './tokenIndex.ts'
import { type Callers, type Entry, type RouteEntry, toData } from './usageEntry.ts'

/** One accepted token on one request. */
export interface Use {
  record: TokenRecord
  /** Milliseconds since 1970. */
  at: number
  /** `2xx` and so on, `aborted` for a request whose caller went away, `accepted` where the end is not known yet. */
  outcome: string
  method: string
  /** The route's pattern where the host knows one, else its path; no query string. */
  route: string
  ip: string | null
  userAgent: string | null
}

export interface UsageWindow {
  count(use: Use): void
  /** Entries: tokens (by hour and revision), their routes, and the callers of those that have several. */
  size(): number
  close(): { used: EventData<'TokenUsed'>[]; lost: Omit<EventData<'UsageLost'>, 'cause'> | null }
}

const ROUTES_PER_ENTRY = 50
/** Addresses, and agents, that are told apart where there are several. */
const CALLERS_PER_ENTRY = 20
const [OTHER_METHOD = '', OTHER_ROUTE = ''] = OTHER_ROUTES.split(' ')
/** Entries, routes and callers: what an outage of the event store may hold in memory, some 50 MB. Uses past it are declared lost. */
const MAX_SIZE = 200_000
const HOUR_MS = 3_600_000

/**
 * Counts uses by token, hour and the revision they were decided on, so that each entry falls into one bucket and names
 * one state of the token.
 */
export function createUsageWindow(): UsageWindow {
  const open = new Map<string, Entry>()
  const closed: Entry[] = []
  let lost = { count: 0, from: Number.POSITIVE_INFINITY, to: 0 }
  let size = 0

  function entryFor(use: Use): Entry | null {
    const { record, at } = use
    const hour = Math.floor(at / HOUR_MS)
    const known = open.get(record.tokenId)
    if (known && known.hour === hour && known.record.revision === record.revision) return known
    if (size >= MAX_SIZE) return null
    if (known) closed.push(known)
    const entry: Entry = {
      record,
      hour,
      count: 0,
      firstAt: at,
      lastAt: at,
      routes: new Map(),
      lastIp: use.ip,
      lastUserAgent: use.userAgent,
      addresses: null,
      userAgents: null,
    }
    open.set(record.tokenId, entry)
    size++
    return entry
  }

  function countRoute(entry: Entry, use: Use): void {
    const key = `${use.method} ${use.route}`
    const { outcomes } = entry.routes.get(key) ?? newRoute(entry, key, use)
    outcomes[use.outcome] = (outcomes[use.outcome] ?? 0) + 1
  }

  function newRoute(entry: Entry, key: string, { method, route }: Use): RouteEntry {
    // Of management there are few, and no number of other routes may hide them.
    const fits = entry.routes.size < ROUTES_PER_ENTRY || isManagement(route)
    const isNamed = fits && size < MAX_SIZE
    const known = isNamed ? undefined : entry.routes.get(OTHER_ROUTES)
    if (known) return known
    const made = isNamed
      ? { method, route: route.slice(0, LOOKED_AT), outcomes: {} }
      : { method: OTHER_METHOD, route: OTHER_ROUTE, outcomes: {} }
    entry.routes.set(isNamed ? key : OTHER_ROUTES, made)
    if (isNamed) size++
    return made
  }

  /** @param before how many uses came by `last` as long as nobody else came */
  function countCaller(
    callers: Callers | null,
    text: string | null,
    last: string | null,
    before: number,
  ): Callers | null {
    if (callers === null && text === last) return null
    const several = callers ?? { named: [{ text: last, count: before }], other: 0 }
    const known = several.named.find((one) => one.text === text)
    if (known) known.count++
    else if (several.named.length < CALLERS_PER_ENTRY && size < MAX_SIZE) {
      several.named.push({ text, count: 1 })
      size++
    } else several.other++
    return several
  }

  return {
    count(use) {
      const entry = entryFor(use)
      if (!entry) {
        lost = { count: lost.count + 1, from: Math.min(lost.from, use.at), to: Math.max(lost.to, use.at) }
        return
      }
      entry.addresses = countCaller(entry.addresses, use.ip, entry.lastIp, entry.count)
      entry.userAgents = countCaller(entry.userAgents, use.userAgent, entry.lastUserAgent, entry.count)
      entry.count++
      entry.firstAt = Math.min(entry.firstAt, use.at)
      entry.lastAt = Math.max(entry.lastAt, use.at)
      entry.lastIp = use.ip
      entry.lastUserAgent = use.userAgent
      countRoute(entry, use)
    },

    size: () => size + (lost.count > 0 ? 1 : 0),

    close() {
      const used = [...closed, ...open.values()].map(toData)
      const declared = lost.count > 0 ? { count: lost.count, from: iso(lost.from), to: iso(lost.to) } : null
      return { used, lost: declared }
    },
  }
}
