import {
  type EventData,
  type EventType,
  eventSchemas,
  type RecordedEvent,
  type StoredEvent,
} from './events.ts'
import { isLifecycleType } from './tokenEvents.ts'
import { isOfToken, STREAMS } from './streams.ts'

/**
 * The version each type is written in today, and one function per step from an older version to the next.
 * To change an event: raise `current`, add the step, add a golden file. Golden files are never edited.
 */
interface Versions {
  current: number
  steps: Record<number, (data: Record<string, unknown>) => Record<string, unknown>>
}

export const versions: Record<EventType, Versions> = {
  TokenCreated: { current: 1, steps: {} },
  TokenImported: { current: 1, steps: {} },
  TokenUpdated: { current: 1, steps: {} },
  TokenRevoked: { current: 1, steps: {} },
  TokenUsed: { current: 2, steps: { 1: withCallers } },
  UsageLost: { current: 1, steps: {} },
  UsageRolledUp: { current: 1, steps: {} },
  UsageDayRolledUp: { current: 1, steps: {} },
  ImportAdvanced: { current: 1, steps: {} },
}

/** Before, only the last caller of a window was kept: of the other uses nobody knows where they came from. */
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

export type Upcast =
  | { kind: 'event'; event: RecordedEvent }
  /** Also for a type that has no business in this stream. */
  | { kind: 'unknown-type' }
  | { kind: 'unknown-version'; version: unknown }

/** Brings a stored event to its newest version. `table` is the argument that tests vary. */
export function upcast(stored: StoredEvent, table: Record<string, Versions> = versions): Upcast {
  const known = Object.hasOwn(table, stored.type) ? table[stored.type] : undefined
  if (!known || isMisplaced(stored)) return { kind: 'unknown-type' }
  const metadata = stored.metadata as { schemaVersion?: unknown }
  const version = metadata?.schemaVersion
  if (typeof version !== 'number' || version < 1 || version > known.current) {
    return { kind: 'unknown-version', version }
  }
  // As nearly all are: a copy of each would be what a replay does most.
  if (version === known.current) return { kind: 'event', event: stored as RecordedEvent }
  let data = stored.data as Record<string, unknown>
  for (let from = version; from < known.current; from++) {
    const step = known.steps[from]
    if (!step) return { kind: 'unknown-version', version }
    data = step(data)
  }
  return {
    kind: 'event',
    event: { ...stored, data, metadata: { ...metadata, schemaVersion: known.current } } as RecordedEvent,
  }
}

/** A type that is known elsewhere says nothing here: uses are no part of a token's life, and no life is told among them. */
const isMisplaced = ({ type, stream }: StoredEvent): boolean =>
  Object.hasOwn(eventSchemas, type) &&
  isLifecycleType(type) !== isOfToken({ stream }) &&
  STREAMS.some((prefix) => stream.startsWith(prefix))

/**
 * What this code cannot know the meaning of, or null. A newer process may have ended a token, or a secret of it, by an
 * event of a type that only that process knows, so an unknown one ends what can be told of a token unless it says itself
 * that it decides nothing. Elsewhere an unknown type is passed over.
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
 * How many kinds of events of a token's life this code knows, each version of a type being one. It only ever grows, and
 * documents filled by who knows fewer are not those of who knows more.
 */
export const lifecycleKinds = (): number =>
  Object.entries(versions).reduce(
    (sum, [type, { current }]) => (isLifecycleType(type) ? sum + current : sum),
    0,
  )
