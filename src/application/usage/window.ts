import { isManagement } from '../../../projections/tokenActivity.ts'
import { OTHER_ROUTES } from '../../../projections/tokenUsage.ts'
import { LOOKED_AT } from '../../domain/credential.ts'
import type { Fact } from '../../domain/decide.ts'
import { bytesOf, cutText, ownCopy } from '../../domain/text.ts'
import { iso } from '../ports/clock.ts'
import type { TokenRecord } from '../authentication/records.ts'
import { type Callers, type Entry, toData } from './entry.ts'

/** One accepted token on one request. */
export interface Use {
  record: TokenRecord
  /** Milliseconds since 1970. */
  at: number
  /** `2xx` and so on, `aborted` for a request whose caller went away, `accepted` where the end is not known. */
  outcome: string
  method: string
  /** The route's pattern where the host knows one, else its path; no query string. */
  route: string
  ip: string | null
  userAgent: string | null
}

export type UsageFact = Fact<'TokenUsed'> | Fact<'UsageLost'>

export interface UsageWindow {
  /** @returns false if there is no room: then it is not counted */
  count(use: Use): boolean
  /** Declares a use that was not counted. */
  lose(use: Use): void
  /** Ends the window: what it has is to be taken, and uses from here on are counted in the next. */
  close(): void
  /** One by one what ended windows have, the oldest first; null when all is taken. */
  take(): UsageFact | null
  /** Entries that are not taken: tokens (by hour and revision), their routes, and the callers of those that have several. */
  size(): number
  /** Memory that they take, as far as it can be told beforehand. */
  bytes(): number
  /** Uses counted and not taken. */
  uses(): number
}

/** What an outage of the event store may hold in memory. Uses past it are declared lost. */
export interface Room {
  entries: number
  bytes: number
}

const ROOM: Room = { entries: 200_000, bytes: 128 * 1024 * 1024 }
/** What an entry, a route and a caller take besides their texts, in bytes. */
const COST = { entry: 480, route: 160, caller: 64 }
const ROUTES_PER_ENTRY = 50
/** Addresses, and agents, that are told apart where there are several. */
const CALLERS_PER_ENTRY = 20
const HOUR_MS = 3_600_000

/**
 * Counts uses by token, hour and the revision they were decided on, so that each entry falls into one bucket and names
 * one state of the token. Callers' texts are cut before they are kept, and copied: a slice would keep all of a request's
 * header.
 */
export function createUsageWindow(room: Room = ROOM): UsageWindow {
  let open = new Map<string, Entry>()
  /** Of the open window, whose hour or revision has passed. */
  let passed: Entry[] = []
  /** Of ended windows. */
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
    const known = open.get(record.tokenId)
    if (known && known.hour === hour && known.revision === record.revision) return known
    if (!hasRoom()) return null
    if (known) passed.push(known)
    const entry = newEntry(use, hour)
    open.set(record.tokenId, entry)
    const texts = [entry.tokenId, entry.accountId, entry.addresses.last, entry.userAgents.last]
    grow(
      entry,
      1,
      texts.reduce((sum, text) => sum + costOf(text), COST.entry),
    )
    return entry
  }

  function countRoute(entry: Entry, { method, route, outcome }: Use): void {
    const key = `${method} ${cutText(route, LOOKED_AT)}`
    const outcomes = entry.routes.get(key) ?? newRoute(entry, key, route)
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  }

  function newRoute(entry: Entry, key: string, route: string): Record<string, number> {
    // Of management there are few, and no number of other routes may hide them.
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
    // Where there is no room for who it was, it is not known.
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
      const { value: entry } = ended.next()
      if (entry) {
        size -= entry.size
        bytes -= entry.bytes
        uses -= entry.count
        return { type: 'TokenUsed', data: toData(entry) }
      }
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

function newEntry({ record, at, ip, userAgent }: Use, hour: number): Entry {
  const { tokenId, revision, principal } = record
  return {
    tokenId,
    accountId: principal.accountId,
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

const costOf = (text: string | null): number => (text === null ? 0 : bytesOf(text))

/** Each is let go of as it is taken, and nothing is copied: there may be a hundred thousand. */
function* inTurn(
  before: Iterable<Entry>,
  passed: readonly Entry[],
  open: Map<string, Entry>,
): Generator<Entry, undefined> {
  yield* before
  yield* passed
  for (const [tokenId, entry] of open) {
    open.delete(tokenId)
    yield entry
  }
}

interface Lost {
  count: number
  from: number
  to: number
}

const nothing = (): Lost => ({ count: 0, from: Number.POSITIVE_INFINITY, to: 0 })

const merged = (a: Lost, b: Lost): Lost => ({
  count: a.count + b.count,
  from: Math.min(a.from, b.from),
  to: Math.max(a.to, b.to),
})
