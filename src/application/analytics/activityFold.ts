import {
  type ActivityDocument,
  callerOf,
  OTHER,
  UNKNOWN_OUTCOME,
} from '../../../projections/tokenActivity.ts'
import type { BlastRadius, HourOfActivity, Listed, SeenRequests, SeenCaller, SeenRoute } from './activity.ts'

/** How many keys of a list are kept by name. */
const NAMED = 1000
/** How many hours are kept by themselves. */
const HOURS = 1000

type FoldedActivity = Omit<BlastRadius, 'token' | 'since' | 'to' | 'events'>

/** Adds up hours, which have to come oldest first. The memory does not grow with their number. */
export function createFold(): { add(hour: ActivityDocument): void; result(): FoldedActivity } {
  const addresses = createTally()
  const userAgents = createTally()
  const routes = createTally()
  const management = createTally()
  const outcomes: Record<string, number> = {}
  const hours: HourOfActivity[] = []
  const earlier = { hours: 0, requests: 0 }
  let [requests, firstAt, lastAt] = [0, null as string | null, null as string | null]

  return {
    add(hour) {
      requests += hour.requests
      firstAt ??= hour.firstAt
      lastAt = lastAt !== null && lastAt > hour.lastAt ? lastAt : hour.lastAt
      for (const [outcome, n] of Object.entries(hour.outcomes))
        outcomes[outcome] = (outcomes[outcome] ?? 0) + n
      addresses.add(hour.at, hour.addresses)
      userAgents.add(hour.at, hour.userAgents)
      routes.add(hour.at, hour.routes, outcomeFirst)
      management.add(hour.at, hour.management, outcomeFirst)
      hours.push({
        at: hour.at,
        requests: hour.requests,
        outcomes: hour.outcomes,
        addresses: distinct(hour.addresses),
        userAgents: distinct(hour.userAgents),
      })
      const oldest = hours.length > HOURS ? hours.shift() : undefined
      if (!oldest) return
      earlier.hours++
      earlier.requests += oldest.requests
    },

    result: () => ({
      firstAt,
      lastAt,
      requests,
      outcomes,
      addresses: addresses.listed(callers),
      userAgents: userAgents.listed(callers),
      routes: routes.listed(asRoute),
      management: management.listed(asRoute),
      hours,
      earlier,
    }),
  }
}

const distinct = (counters: Record<string, number>): number =>
  Object.keys(counters).length - (Object.hasOwn(counters, OTHER) ? 1 : 0)

type TallyRow = SeenRequests & { outcomes: Record<string, number> }

/** Splits a counter's key into the row that it belongs to, and the outcome. */
type Split = (key: string) => [row: string, outcome: string]

const whole: Split = (key) => [key, UNKNOWN_OUTCOME]

const outcomeFirst: Split = (key) => {
  const space = key.indexOf(' ')
  return [key.slice(space + 1), key.slice(0, space)]
}

function createTally() {
  const rows = new Map<string, TallyRow>()
  let other = 0
  let otherHours: Listed<unknown>['otherHours'] = null
  return {
    add(hour: string, counters: Record<string, number>, split = whole): void {
      for (const [key, n] of Object.entries(counters)) {
        const [name, outcome] = split(key)
        const known = key === OTHER ? undefined : rows.get(name)
        if (known) {
          known.requests += n
          known.lastHour = hour
          known.outcomes[outcome] = (known.outcomes[outcome] ?? 0) + n
        } else if (key === OTHER || rows.size >= NAMED) {
          other += n
          otherHours = { first: otherHours?.first ?? hour, last: hour }
        } else rows.set(name, { requests: n, firstHour: hour, lastHour: hour, outcomes: { [outcome]: n } })
      }
    },
    listed: <T extends SeenRequests>(present: (key: string, row: TallyRow) => T): Listed<T> => ({
      data: [...rows].sort(([, a], [, b]) => b.requests - a.requests).map(([key, row]) => present(key, row)),
      other,
      otherHours,
    }),
  }
}

const callers = (key: string, { requests, firstHour, lastHour }: TallyRow): SeenCaller => ({
  text: callerOf(key),
  requests,
  firstHour,
  lastHour,
})

function asRoute(key: string, row: TallyRow): SeenRoute {
  const space = key.indexOf(' ')
  return { method: key.slice(0, space), route: key.slice(space + 1), ...row }
}
