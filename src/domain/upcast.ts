import {
  type EventData,
  type EventType,
  eventSchemas,
  type RecordedEvent,
  type StoredEvent,
} from './events.ts'
import { isLifecycleType } from './tokenEvents.ts'
import { isOfToken, STREAMS } from './streams.ts'
import { FIRST_SECRET } from './usageEntries.ts'

/**
 * The version in which each type is written today, and one function for each step from an older version to the next. To
 * change an event: raise `current`, add the step, add a golden file. Golden files are never edited.
 */
interface Versions {
  current: number
  steps: Record<number, (data: Record<string, unknown>) => Record<string, unknown>>
}

/** Before version 2, a token had no such members. */
const undescribed = { description: null, metadata: {}, allowedIps: null }

export const versions: Record<EventType, Versions> = {
  TokenCreated: { current: 2, steps: { 1: (data) => ({ ...data, ...undescribed, rotatable: false }) } },
  TokenImported: { current: 2, steps: { 1: (data) => ({ ...data, ...undescribed }) } },
  // Version 2 may change members that tokens did not have before.
  TokenUpdated: { current: 2, steps: { 1: (data) => data } },
  TokenRevoked: { current: 1, steps: {} },
  TokenLeaked: { current: 1, steps: {} },
  TokenRotationStarted: { current: 1, steps: {} },
  TokenSecretActivated: { current: 1, steps: {} },
  TokenRotationEnded: { current: 1, steps: {} },
  TokenExpiring: { current: 1, steps: {} },
  TokenExpired: { current: 1, steps: {} },
  TokenUsed: { current: 2, steps: { 1: withCallers } },
  TokensUsed: { current: 1, steps: {} },
  RetiredSecretsUsed: { current: 1, steps: {} },
  UsageLost: { current: 1, steps: {} },
  UsageRolledUp: { current: 2, steps: { 1: withSecrets } },
  UsageDayRolledUp: { current: 1, steps: {} },
  ImportAdvanced: { current: 1, steps: {} },
  PortalSessionOpened: { current: 1, steps: {} },
  HeartbeatWritten: { current: 1, steps: {} },
  LeaseAdvanced: { current: 1, steps: {} },
  DeliveryAdvanced: { current: 1, steps: {} },
  PepperUsed: { current: 1, steps: {} },
}

/** Before version 2, only the last caller of a window was kept, so nobody knows where the other uses came from. */
function withCallers(data: Record<string, unknown>): Record<string, unknown> {
  const { count, lastIp: ip, lastUserAgent: userAgent } = data as EventData<'TokenUsed'>
  if (count === 1) return data
  return {
    ...data,
    addresses: [{ ip, count: 1 }],
    otherAddresses: count - 1,
    userAgents: [{ userAgent, count: 1 }],
    otherUserAgents: count - 1,
  }
}

/** Before version 2, a token had the one secret that it was created or imported with. */
function withSecrets(data: Record<string, unknown>): Record<string, unknown> {
  const { buckets } = data as Partial<EventData<'UsageRolledUp'>>
  return {
    ...data,
    buckets:
      Array.isArray(buckets) &&
      buckets.map((bucket) => ({
        ...bucket,
        secrets: [{ secret: FIRST_SECRET, count: bucket.count, lastAt: bucket.lastAt }],
      })),
  }
}

export type Upcast =
  | { kind: 'event'; event: RecordedEvent }
  /** Also given for a type that does not belong into this stream. */
  | { kind: 'unknown-type' }
  | { kind: 'unknown-version'; version: unknown }

/** Brings a stored event to its newest version. Tests vary `table`. */
export function upcast(stored: StoredEvent, table: Record<string, Versions> = versions): Upcast {
  const known = Object.hasOwn(table, stored.type) ? table[stored.type] : undefined
  if (!known || isMisplaced(stored)) return { kind: 'unknown-type' }
  const metadata = stored.metadata as { schemaVersion?: unknown }
  const version = metadata?.schemaVersion
  if (typeof version !== 'number' || version < 1 || version > known.current) {
    return { kind: 'unknown-version', version }
  }
  // This is so for nearly all events, and copying them would be most of the work of a replay.
  if (version === known.current) return { kind: 'event', event: stored as RecordedEvent }
  let data = stored.data as Record<string, unknown>
  // Data that is no object is left as it is, for whoever looks whether it is what the type has.
  for (let from = version; from < known.current && isObject(data); from++) {
    const step = known.steps[from]
    if (!step) return { kind: 'unknown-version', version }
    data = step(data)
  }
  return {
    kind: 'event',
    event: { ...stored, data, metadata: { ...metadata, schemaVersion: known.current } } as RecordedEvent,
  }
}

const isObject = (data: unknown): boolean => typeof data === 'object' && data !== null

/**
 * In another kind of stream, a known type means nothing: uses do not belong to a token's life, and no life is recorded
 * among them.
 */
const isMisplaced = ({ type, stream }: StoredEvent): boolean =>
  Object.hasOwn(eventSchemas, type) &&
  isLifecycleType(type) !== isOfToken({ stream }) &&
  STREAMS.some((prefix) => stream.startsWith(prefix))

/**
 * Why this code cannot know what the event means; null if it can. A newer process may have ended a token, or one of its
 * secrets, by a type of event that only that process knows. So nothing can be said of a token from an unknown event on,
 * unless the event itself says that it decides nothing. In other streams an unknown type is ignored.
 */
export function notUnderstood(stored: StoredEvent, read: Upcast): string | null {
  switch (read.kind) {
    case 'event':
      return null
    case 'unknown-version':
      return `unknown version of ${stored.type}`
    case 'unknown-type':
      return isOfToken(stored) && !isInformational(stored) ? `unknown type ${stored.type}` : null
  }
}

const isInformational = ({ metadata }: StoredEvent): boolean =>
  (metadata as { informational?: unknown } | null)?.informational === true

/**
 * How many kinds of events of a token's life this code knows. Each version of a type counts as one. The number only
 * ever grows. Documents that were filled by code which knows fewer kinds may differ from documents of code that knows
 * more.
 */
export const lifecycleKinds = (): number =>
  Object.entries(versions).reduce(
    (sum, [type, { current }]) => (isLifecycleType(type) ? sum + current : sum),
    0,
  )
