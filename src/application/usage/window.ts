import { isManagement } from '../../../projections/tokenActivity.ts'
import { OTHER_ROUTES } from '../../../projections/tokenUsage.ts'
import { LOOKED_AT } from '../../domain/credential.ts'
import type { Fact } from '../../domain/events.ts'
import { bytesOf, cutText, ownCopy } from '../../domain/text.ts'
import { FIRST_SECRET, type UsageEntry } from '../../domain/usageEntries.ts'
import { iso } from '../ports/clock.ts'
import type { TokenRecord } from '../authentication/records.ts'
import { type Callers, type Entry, toData } from './entry.ts'

/** One accepted token on one request. */
export interface Use {
  record: TokenRecord
  /** Which secret of the token was used: the revision of the event that brought it. */
  secret: number
  /** Milliseconds since 1970. */
  at: number
  /** `2xx` and so on; `aborted` if the caller went away; `accepted` if nobody knows how the request ended. */
  outcome: string
  method: string
  /** The route's pattern if the host knows it, otherwise its path without the query string. */
  route: string
  ip: string | null
  userAgent: string | null
}

export type UsageFact = Fact<'TokensUsed'> | Fact<'UsageLost'>

export interface UsageWindow {
  /** @returns false if there is no room, and so the use is not counted */
  count(use: Use): boolean
  /** Declares a use that was not counted. */
  lose(use: Use): void
  /** Ends the window. Its uses can be taken now, and uses from here on are counted in the next window. */
  close(): void
  /** Takes some entries of ended windows, the oldest first, as many as an event holds; null when all are taken. */
  take(): UsageFact | null
  /**
   * The number of entries that are not taken: tokens (by secret, hour and revision), their routes, and callers if there
   * are several.
   */
  size(): number
  /** The memory that they take, in bytes, as far as it can be known in advance. */
  bytes(): number
  /** The number of uses that are counted and not taken. */
  uses(): number
}

/** How much an outage of the event store may hold in memory. Further uses are declared lost. */
export interface Room {
  entries: number
  bytes: number
}

const ROOM: Room = { entries: 200_000, bytes: 128 * 1024 * 1024 }
/** The bytes that an entry, a route and a caller take besides their texts. */
const COST = { entry: 480, route: 160, caller: 64 }
const ROUTES_PER_ENTRY = 50
/** How many addresses, and how many user agents, an entry lists if there are several. */
const CALLERS_PER_ENTRY = 20
const HOUR_MS = 3_600_000
/**
 * How much one event holds: at most so many entries, and one entry more than takes this many bytes of memory. As JSON
 * they take about half as much. Larger events would cost hardly less, and readers take an event as a whole.
 */
const PER_EVENT = { entries: 100, bytes: 64 * 1024 }

/**
 * Counts uses by token, secret, hour and the revision they were decided on, so that each entry belongs to one bucket and
 * to one state of the token. Texts of callers are cut and copied before they are kept, since a slice would keep the whole
 * header of a request in memory.
 */
export function createUsageWindow(room: Room = ROOM): UsageWindow {
  let open = new Map<string, Entry>()
  /** Entries of the open window whose hour or revision has passed. */
  let passed: Entry[] = []
  /** Entries of ended windows. */
  let ended = inTurn([], [], new Map())
  let lost = nothing()
  let lostEnded = nothing()
  let [size, bytes, uses] = [0, 0, 0]

  const hasRoom = (): boolean => size < room.entries && bytes < room.bytes

  function grow(entry: Entry, by: number, cost: number): void {
    size += by
    bytes += cost
    entry.size += by
    entry.bytes += cost
  }

  function entryFor(use: Use): Entry | null {
    const { record, at } = use
    const hour = Math.floor(at / HOUR_MS)
    const key = use.secret === FIRST_SECRET ? record.tokenId : `${record.tokenId} ${use.secret}`
    const known = open.get(key)
    if (known && known.hour === hour && known.revision === record.revision) return known
    if (!hasRoom()) return null
    if (known) passed.push(known)
    const entry = newEntry(use, hour)
    open.set(key, entry)
    grow(entry, 1, costOfNew(entry))
    return entry
  }

  function countRoute(entry: Entry, { method, route, outcome }: Use): void {
    const key = `${method} ${cutText(route, LOOKED_AT)}`
    const outcomes = entry.routes.get(key) ?? newRoute(entry, key, route)
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  }

  function newRoute(entry: Entry, key: string, route: string): Record<string, number> {
    // Routes of management are few, and other routes must not hide them, however many there are.
    const fits = entry.routes.size < ROUTES_PER_ENTRY || isManagement(route)
    const isNamed = fits && hasRoom()
    const known = isNamed ? undefined : entry.routes.get(OTHER_ROUTES)
    if (known) return known
    const outcomes: Record<string, number> = {}
    const kept = isNamed ? ownCopy(key) : OTHER_ROUTES
    entry.routes.set(kept, outcomes)
    if (isNamed) grow(entry, 1, COST.route + costOf(kept))
    return outcomes
  }

  function countCaller(entry: Entry, callers: Callers, caller: string | null): void {
    const text = caller && cutText(caller, LOOKED_AT)
    if (callers.named === null && (text === callers.last || entry.count === 0)) return
    callers.named ??= [{ text: callers.last, count: entry.count }]
    const known = callers.named.find((one) => one.text === text)
    if (callers.isOther) grow(entry, 0, -costOf(callers.last))
    callers.isOther = false
    if (known) {
      known.count++
      callers.last = known.text
      return
    }
    // If there is no room for the caller's text, the caller counts as unknown.
    callers.last = hasRoom() ? keep(text) : null
    if (callers.named.length < CALLERS_PER_ENTRY && hasRoom()) {
      callers.named.push({ text: callers.last, count: 1 })
      grow(entry, 1, COST.caller + costOf(callers.last))
    } else {
      callers.other++
      callers.isOther = true
      grow(entry, 0, costOf(callers.last))
    }
  }

  function takeEntries(): UsageEntry[] {
    const entries: UsageEntry[] = []
    for (let taken = 0; entries.length < PER_EVENT.entries && taken < PER_EVENT.bytes; ) {
      const { value: entry } = ended.next()
      if (!entry) break
      size -= entry.size
      bytes -= entry.bytes
      uses -= entry.count
      taken += entry.bytes
      entries.push(toData(entry))
    }
    return entries
  }

  return {
    count(use) {
      const entry = entryFor(use)
      if (!entry) return false
      countCaller(entry, entry.addresses, use.ip)
      countCaller(entry, entry.userAgents, use.userAgent)
      entry.count++
      uses++
      entry.firstAt = Math.min(entry.firstAt, use.at)
      entry.lastAt = Math.max(entry.lastAt, use.at)
      countRoute(entry, use)
      return true
    },

    lose({ at }) {
      lost = merged(lost, { count: 1, from: at, to: at })
    },

    close() {
      ended = inTurn(ended, passed, open)
      lostEnded = merged(lostEnded, lost)
      open = new Map()
      passed = []
      lost = nothing()
    },

    take() {
      const entries = takeEntries()
      if (entries.length > 0) return { type: 'TokensUsed', data: { entries } }
      const { count, from, to } = lostEnded
      if (count === 0) return null
      lostEnded = nothing()
      return {
        type: 'UsageLost',
        data: { count, from: iso(from), to: iso(to), cause: 'usage buffer full' },
      }
    },

    size: () => size + (lost.count + lostEnded.count > 0 ? 1 : 0),
    bytes: () => bytes,
    uses: () => uses,
  }
}

function newEntry({ record, secret, at, ip, userAgent }: Use, hour: number): Entry {
  const { tokenId, revision, principal } = record
  return {
    tokenId,
    accountId: principal.accountId,
    secret,
    revision,
    hour,
    count: 0,
    firstAt: at,
    lastAt: at,
    routes: new Map(),
    addresses: { last: keep(ip), named: null, other: 0, isOther: false },
    userAgents: { last: keep(userAgent), named: null, other: 0, isOther: false },
    size: 0,
    bytes: 0,
  }
}

const keep = (text: string | null): string | null => text && ownCopy(cutText(text, LOOKED_AT))

const costOfNew = ({ tokenId, accountId, addresses, userAgents }: Entry): number =>
  [tokenId, accountId, addresses.last, userAgents.last].reduce((sum, text) => sum + costOf(text), COST.entry)

const costOf = (text: string | null): number => (text === null ? 0 : bytesOf(text))

/** Each entry is released as it is taken, and none is copied, since there may be a hundred thousand. */
function* inTurn(
  before: Iterable<Entry>,
  passed: readonly Entry[],
  open: Map<string, Entry>,
): Generator<Entry, undefined> {
  yield* before
  yield* passed
  for (const [key, entry] of open) {
    open.delete(key)
    yield entry
  }
}

interface LossSum {
  count: number
  from: number
  to: number
}

const nothing = (): LossSum => ({ count: 0, from: Number.POSITIVE_INFINITY, to: 0 })

const merged = (a: LossSum, b: LossSum): LossSum => ({
  count: a.count + b.count,
  from: Math.min(a.from, b.from),
  to: Math.max(a.to, b.to),
})
