import { OTHER_ROUTES } from '../../projections/tokenUsage.ts'
import { LOOKED_AT } from '../domain/credential.ts'
import type { EventData } from '../domain/events.ts'
import { iso } from './ports.ts'
import type { TokenRecord } from './tokenIndex.ts'

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
  /** Entries: tokens (by hour and revision) plus their routes. */
  size(): number
  close(): { used: EventData<'TokenUsed'>[]; lost: Omit<EventData<'UsageLost'>, 'cause'> | null }
}

const ROUTES_PER_ENTRY = 50
const [OTHER_METHOD = '', OTHER_ROUTE = ''] = OTHER_ROUTES.split(' ')
/** Entries and routes: what an outage of the event store may hold in memory, some 50 MB. Uses past it are declared lost. */
const MAX_SIZE = 200_000
const HOUR_MS = 3_600_000

interface Entry {
  record: TokenRecord
  hour: number
  count: number
  firstAt: number
  lastAt: number
  outcomes: Record<string, number>
  routes: Map<string, { method: string; route: string; count: number }>
  lastIp: string | null
  lastUserAgent: string | null
}

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
      outcomes: {},
      routes: new Map(),
      lastIp: null,
      lastUserAgent: null,
    }
    open.set(record.tokenId, entry)
    size++
    return entry
  }

  function countRoute(entry: Entry, use: Use): void {
    const key = `${use.method} ${use.route}`
    const known = entry.routes.get(key)
    if (known) {
      known.count++
      return
    }
    if (entry.routes.size < ROUTES_PER_ENTRY && size < MAX_SIZE) {
      entry.routes.set(key, { method: use.method, route: use.route.slice(0, LOOKED_AT), count: 1 })
      size++
      return
    }
    const other = entry.routes.get(OTHER_ROUTES)
    if (other) other.count++
    else entry.routes.set(OTHER_ROUTES, { method: OTHER_METHOD, route: OTHER_ROUTE, count: 1 })
  }

  return {
    count(use) {
      const entry = entryFor(use)
      if (!entry) {
        lost = { count: lost.count + 1, from: Math.min(lost.from, use.at), to: Math.max(lost.to, use.at) }
        return
      }
      entry.count++
      entry.firstAt = Math.min(entry.firstAt, use.at)
      entry.lastAt = Math.max(entry.lastAt, use.at)
      entry.outcomes[use.outcome] = (entry.outcomes[use.outcome] ?? 0) + 1
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

function toData(entry: Entry): EventData<'TokenUsed'> {
  const { record } = entry
  return {
    tokenId: record.tokenId,
    accountId: record.principal.accountId,
    count: entry.count,
    firstAt: iso(entry.firstAt),
    lastAt: iso(entry.lastAt),
    outcomes: entry.outcomes,
    routes: [...entry.routes.values()],
    tokenRevision: record.revision,
    lastIp: entry.lastIp,
    lastUserAgent: entry.lastUserAgent,
  }
}
