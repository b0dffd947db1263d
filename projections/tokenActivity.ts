import type { FromSchema } from 'json-schema-to-ts'
import { MANAGEMENT_PATH } from '../src/domain/managementPath.ts'
import { isLifecycle, type LifecycleEvent } from '../src/domain/events.ts'
import { tokenIdOf } from '../src/domain/streams.ts'
import { entriesOf, type UsageEntry } from '../src/domain/usageEntries.ts'
import { type AddChange, joined } from './joined.ts'
import { counts, nullable, number, string } from './members.ts'
import type { DocumentChange, Projection, Top } from './projection.ts'
import { LIFE } from './versionOfLife.ts'
import { bucketStart, OTHER_ROUTES, requestCounts } from './tokenUsage.ts'

const hourSchema = {
  type: 'object',
  additionalProperties: false,
  required: [
    'id',
    'tokenId',
    'accountId',
    'at',
    'requests',
    'outcomes',
    'firstAt',
    'lastAt',
    'routes',
    'management',
    'addresses',
    'userAgents',
  ],
  properties: {
    id: string,
    tokenId: string,
    accountId: string,
    // Start of the hour.
    at: string,
    requests: number,
    outcomes: counts,
    firstAt: string,
    lastAt: string,
    // Requests by `<outcome> <METHOD> <route>`. Those under `MANAGEMENT_PATH` are counted apart, and by the product's
    // own patterns, so that neither other routes nor invented paths can crowd them out.
    routes: counts,
    management: counts,
    // Requests by caller address, as `callerKey` writes it.
    addresses: counts,
    userAgents: counts,
  },
} as const

const actionSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'actorId', 'at', 'type', 'tokenId', 'revision', 'requestId', 'ip', 'userAgent'],
  properties: {
    id: string,
    // The id of the token that did it.
    actorId: string,
    at: string,
    type: string,
    // The id of the token that it was done to.
    tokenId: string,
    revision: { type: 'integer' },
    requestId: string,
    ip: nullable,
    userAgent: nullable,
  },
} as const

/** What one token did in one hour (UTC), and where its uses came from. */
export type ActivityDocument = FromSchema<typeof hourSchema>
/** An event of some token's life that a token caused. */
export type ActionDocument = FromSchema<typeof actionSchema>

const READ = ['GET', 'HEAD']
/** The routes that the product serves under `MANAGEMENT_PATH`, with their methods. */
export const MANAGEMENT_ROUTES: Readonly<Record<string, readonly string[]>> = {
  '': [...READ, 'POST'],
  '/self': [...READ, 'DELETE'],
  '/self/rotations': ['POST'],
  '/events': READ,
  '/usage': READ,
  '/report': READ,
  '/:id': [...READ, 'PATCH', 'DELETE'],
  '/:id/events': READ,
  '/:id/rotations': ['POST', 'DELETE'],
  '/:id/usage': READ,
  '/:id/allowed-ips/check': ['POST'],
  '/:id/blast-radius': READ,
}
/** Stands for any other request under that path. */
const OTHER_MANAGEMENT = { method: '*', route: `${MANAGEMENT_PATH}/*` }

/** The key for what was not counted by name, since there were too many names. */
export const OTHER = '* other'
const NONE = '* none'
/** Stands for an outcome that was not recorded by route. */
export const UNKNOWN_OUTCOME = 'unknown'

/** How many keys are kept by name. For `management` that is more than there can be, whatever callers ask for. */
export const CAPS = { routes: 100, management: 300, addresses: 100, userAgents: 50 } as const

/** Callers choose these texts, so a text that begins with `*`, like our own keys, gets another `*` in front. */
const callerKey = (text: string | null): string =>
  text === null ? NONE : text.startsWith('*') ? `*${text}` : text

/** The text that a key stands for; null if there was none. Not to be called with `OTHER`. */
export const callerOf = (key: string): string | null =>
  key === NONE ? null : key.startsWith('**') ? key.slice(1) : key

/** @param at the start of an hour; `~` sorts behind all of them */
export const activityId = (tokenId: string, at: string): string => `${tokenId}_${at}`

export const isManagement = (route: string): boolean =>
  route === MANAGEMENT_PATH || route.startsWith(`${MANAGEMENT_PATH}/`)

/**
 * The method and route that a request is counted as. A path under `MANAGEMENT_PATH` becomes the product's own pattern
 * for it, since behind a proxy callers may ask for any path. Patterns and all other requests stay as they are.
 */
export function countedRoute(method: string, route: string): { method: string; route: string } {
  if (!isManagement(route)) return { method, route }
  const pattern = patternOf(route.slice(MANAGEMENT_PATH.length))
  const isServed = MANAGEMENT_ROUTES[pattern]?.includes(method) ?? false
  return isServed ? { method, route: MANAGEMENT_PATH + pattern } : OTHER_MANAGEMENT
}

/** @param rest empty, or beginning with a slash; a slash at its end is ignored */
function patternOf(rest: string): string {
  const path = rest.endsWith('/') ? rest.slice(0, -1) : rest
  if (path in MANAGEMENT_ROUTES) return path
  const [, first, ...others] = path.split('/', 4)
  if (others.length > 0) return `/:id/${others.join('/')}`
  return !first ? path : '/:id'
}

export const tokenActivity: Projection = {
  name: 'tokenActivity',
  version: 3,
  events: ['TokensUsed', 'TokenUsed', ...LIFE],
  collections: [
    {
      name: 'tokenActivity',
      schema: hourSchema,
      counters: ['routes', 'management', 'addresses', 'userAgents'],
      outlivesEvents: 'at',
      // Documents are found by their ids, which sort by token and hour.
      indexes: [],
    },
    { name: 'tokenActions', schema: actionSchema, indexes: [{ fields: ['actorId', 'at'] }] },
  ],
  project(event) {
    if (isLifecycle(event)) return event.metadata.actor.kind === 'token' ? [action(event)] : []
    return joined(entriesOf(event).map((entry) => hour(entry, event.position)))
  },
}

function hour(entry: UsageEntry, position: string): AddChange {
  const { tokenId, accountId, count, firstAt, lastAt, lastIp, lastUserAgent } = entry
  const at = bucketStart(firstAt, 'hour')
  const byRoute = routeCounts(entry)
  return {
    kind: 'add',
    collection: 'tokenActivity',
    id: activityId(tokenId, at),
    position,
    set: { tokenId, accountId, at },
    sum: requestCounts(entry),
    min: { firstAt },
    max: { lastAt },
    top: [
      top('routes', byRoute.others),
      top('management', byRoute.management),
      top('addresses', [
        ...(entry.addresses ?? [{ ip: lastIp, count }]).map(
          ({ ip, count: n }) => [callerKey(ip), n] as const,
        ),
        ...rest(entry.otherAddresses),
      ]),
      top('userAgents', [
        ...(entry.userAgents ?? [{ userAgent: lastUserAgent, count }]).map(
          ({ userAgent, count: n }) => [callerKey(userAgent), n] as const,
        ),
        ...rest(entry.otherUserAgents),
      ]),
    ],
  }
}

const top = (field: keyof typeof CAPS, counted: Top['counts']): Top => ({
  field,
  cap: CAPS[field],
  other: OTHER,
  counts: counted,
})

const rest = (count: number | undefined): (readonly [string, number])[] =>
  count === undefined ? [] : [[OTHER, count]]

type Counted = [key: string, count: number]

function routeCounts({ outcomes, routes }: UsageEntry) {
  const classes = Object.keys(outcomes)
  const theirs = classes.length === 1 ? String(classes[0]) : UNKNOWN_OUTCOME
  const management: Counted[] = []
  const others: Counted[] = []
  for (const { method, route, count, outcomes: own = { [theirs]: count } } of routes) {
    const counted = countedRoute(method, route)
    const isOther = `${method} ${route}` === OTHER_ROUTES
    for (const [outcome, n] of Object.entries(own)) {
      const key = isOther ? OTHER : `${outcome} ${counted.method} ${counted.route}`
      ;(isManagement(route) ? management : others).push([key, n])
    }
  }
  return { management, others }
}

function action({ id, type, stream, revision, metadata }: LifecycleEvent): DocumentChange {
  const { at, actor, requestId, ip = null, userAgent = null } = metadata
  const tokenId = tokenIdOf(stream)
  return {
    kind: 'insert',
    collection: 'tokenActions',
    id,
    fields: { actorId: actor.id, at, type, tokenId, revision, requestId, ip, userAgent },
  }
}
