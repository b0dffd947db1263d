import type { FromSchema } from 'json-schema-to-ts'
import type { EventData, RecordedEvent } from '../src/domain/events.ts'
import { entriesOf, type UsageEntry } from '../src/domain/usageEntries.ts'
import { type AddChange, joined } from './joined.ts'
import { counts, number, string } from './members.ts'
import type { DocumentChange, Projection } from './projection.ts'

const schema = {
  type: 'object',
  additionalProperties: false,
  required: [
    'id',
    'tokenId',
    'accountId',
    'granularity',
    'at',
    'requests',
    'outcomes',
    'firstAt',
    'lastAt',
    'routes',
    'secrets',
  ],
  properties: {
    id: string,
    tokenId: string,
    accountId: string,
    granularity: { enum: ['hour', 'day'] },
    // Start of the bucket.
    at: string,
    requests: number,
    outcomes: counts,
    firstAt: string,
    lastAt: string,
    // Requests by `<METHOD> <route>`: the first 50 that came by name, all others as `OTHER_ROUTES`.
    routes: counts,
    // By secret, which is named by the revision of the event in the token's stream that brought it.
    secrets: {
      type: 'object',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        required: ['requests', 'lastAt'],
        properties: { requests: number, lastAt: string },
      },
    },
  },
} as const

/** The uses of one token in one hour or one day (UTC). Totals of an account are sums over its tokens. */
export type UsageDocument = FromSchema<typeof schema>
export type Granularity = UsageDocument['granularity']

const ROUTES_PER_BUCKET = 50
export const OTHER_ROUTES = '* other'

/** The start of the hour or day (UTC) of a time. */
export const bucketStart = (at: string, granularity: Granularity): string =>
  granularity === 'hour' ? `${at.slice(0, 13)}:00:00.000Z` : `${at.slice(0, 10)}T00:00:00.000Z`

export const tokenUsage: Projection = {
  name: 'tokenUsage',
  version: 3,
  events: ['TokensUsed', 'TokenUsed', 'UsageRolledUp'],
  collections: [
    {
      name: 'tokenUsage',
      schema,
      counters: ['routes'],
      // Documents of one token are found by their ids, which sort by token, granularity and time.
      indexes: [{ fields: ['accountId', 'granularity', 'at'] }],
    },
  ],
  project(event) {
    if (event.type === 'UsageRolledUp') return totals(event)
    return joined(entriesOf(event).flatMap((entry) => increases(entry, event.position)))
  },
}

function increases(entry: UsageEntry, position: string): AddChange[] {
  const { tokenId, accountId, count, firstAt, lastAt, routes, secret } = entry
  const sum = { ...requestCounts(entry), [`secrets.${secret}.requests`]: count }
  const max = { lastAt, [`secrets.${secret}.lastAt`]: lastAt }
  const top = [{ field: 'routes', cap: ROUTES_PER_BUCKET, other: OTHER_ROUTES, counts: routes.map(byRoute) }]
  return (['hour', 'day'] as const).map((granularity) => {
    const at = bucketStart(firstAt, granularity)
    return {
      kind: 'add',
      collection: 'tokenUsage',
      id: usageId(tokenId, granularity, at),
      position,
      set: { tokenId, accountId, granularity, at },
      sum,
      min: { firstAt },
      max,
      top,
    }
  })
}

/** What an entry adds to the counters `requests` and `outcomes` of a bucket. */
export function requestCounts({ count, outcomes }: UsageEntry): Record<string, number> {
  const sum: Record<string, number> = { requests: count }
  for (const outcome of Object.keys(outcomes)) sum[`outcomes.${outcome}`] = outcomes[outcome] ?? 0
  return sum
}

/** @param at the start of the hour or day; any time will do as the limit of a range of ids */
export const usageId = (tokenId: string, granularity: Granularity, at: string): string =>
  `${tokenId}_${granularity}_${at}`

const byRoute = ({ method, route, count }: { method: string; route: string; count: number }) =>
  [`${method} ${route}`, count] as const

/**
 * The buckets of a day that was rolled up. They change nothing in documents that have counted all its events already.
 */
const totals = ({ data, position }: RecordedEvent<'UsageRolledUp'>): DocumentChange[] =>
  data.buckets.map(({ granularity, at, count, firstAt, lastAt, outcomes, routes, secrets }) => ({
    kind: 'total',
    collection: 'tokenUsage',
    id: usageId(data.tokenId, granularity, at),
    position,
    by: 'requests',
    fields: {
      tokenId: data.tokenId,
      accountId: data.accountId,
      granularity,
      at,
      requests: count,
      outcomes,
      firstAt,
      lastAt,
      routes: Object.fromEntries(routes.map(byRoute)),
      secrets: Object.fromEntries(
        secrets.map(({ secret, count: requests, lastAt: last }) => [secret, { requests, lastAt: last }]),
      ),
    },
  }))

/** A bucket in the form in which a roll-up holds it. */
export const bucketOf = ({
  granularity,
  at,
  requests: count,
  firstAt,
  lastAt,
  outcomes,
  routes,
  secrets,
}: UsageDocument): EventData<'UsageRolledUp'>['buckets'][number] => ({
  granularity,
  at,
  count,
  firstAt,
  lastAt,
  outcomes,
  routes: Object.entries(routes).map(([key, n]) => ({ ...routeOf(key), count: n })),
  secrets: Object.entries(secrets).map(([secret, { requests: n, lastAt: last }]) => ({
    secret: Number(secret),
    count: n,
    lastAt: last,
  })),
})

/** The method and the path of a key of `routes`. */
export function routeOf(key: string): { method: string; route: string } {
  const space = key.indexOf(' ')
  return { method: key.slice(0, space), route: key.slice(space + 1) }
}
