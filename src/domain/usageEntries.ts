import type { EventData, NewEvent, StoredEvent } from './events.ts'

/** The uses of one token by one secret in one window of one process, all in one hour and decided on one revision. */
export type UsageEntry = EventData<'TokensUsed'>['entries'][number]

/** The secret that a token was created or imported with, named by the revision of that event. */
export const FIRST_SECRET = 0

/** The entries of an event that records uses; none for any other. Only here is known in which events they are. */
export function entriesOf({ type, data }: NewEvent): readonly UsageEntry[] {
  switch (type) {
    case 'TokensUsed':
      return data.entries
    case 'TokenUsed':
      return [{ ...data, secret: FIRST_SECRET }]
    default:
      return []
  }
}

/** The entries of an event as it is stored, which nobody has checked: any member may be missing, or be anything. */
export function storedEntries({ type, data }: Pick<StoredEvent, 'type' | 'data'>): readonly StoredEntry[] {
  if (type === 'TokenUsed') return [data].filter(isObject)
  const entries = type === 'TokensUsed' ? (data as { entries?: unknown } | null)?.entries : []
  return Array.isArray(entries) ? entries.filter(isObject) : []
}

export type StoredEntry = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is StoredEntry => typeof value === 'object' && value !== null

/** How many uses an event records; 0 if it cannot be read. Roll-ups count as 0, since they repeat other events. */
export const usesIn = (event: Pick<StoredEvent, 'type' | 'data'>): number =>
  storedEntries(event).reduce(
    (sum, { count }) => sum + (Number.isSafeInteger(count) ? Math.max(0, count as number) : 0),
    0,
  )

/** The refused requests with secrets of one token that was rotated, in one window of one process and on one day. */
export type RetiredEntry = EventData<'RetiredSecretsUsed'>['entries'][number]

/**
 * What an event costs to read and to apply, in events of other types: one that holds the uses of many tokens weighs as
 * much as one for each of them.
 */
export const weightOf = (event: Pick<StoredEvent, 'type' | 'data'>): number =>
  Math.max(1, storedEntries(event).length)

/** The day (UTC, `2026-11-22`) that the uses of an entry count for. */
export const dayOf = ({ firstAt }: Pick<UsageEntry, 'firstAt'>): string => firstAt.slice(0, 10)
