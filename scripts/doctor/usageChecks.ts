import { existsSync } from 'node:fs'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { StoredEvent } from '../../src/domain/events.ts'
import { USAGE_STREAM } from '../../src/domain/streams.ts'
import { DAY_MS } from '../../src/domain/time.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { MARGIN_DAYS, sqlitePath } from '../../src/stores/open.ts'
import { withEventStore } from '../cli/stores.ts'
import { type Check, ok, warn } from './check.ts'

/** The oldest usage events that anybody who may read the whole log can read, with addresses and user agents. */
export interface OldestUsage {
  event: StoredEvent | null
  /** The oldest that is not the last of its stream. A scavenge of EventStoreDB leaves the last event of each stream. */
  notLast: StoredEvent | null
}

/** Looking stops here: more would cost time, and so many streams with one event each are years of scavenging. */
const MOST_EVENTS = 100_000

/** What is the oldest usage event in the log? Null without an event store. */
export async function checkOldestUsage(settings: Settings): Promise<Check | null> {
  const path = sqlitePath(settings.eventStoreUrl)
  if (path !== null && !existsSync(path)) return null
  return withEventStore(settings, async ({ store }) =>
    assessOldestUsage(await oldestUsage(store), {
      // SQLite keeps what is not rolled up, however old it is; the metric of overdue days tells of that.
      keptDays: path === null ? settings.usageRetentionDays : null,
      now: Date.now(),
    }),
  )
}

async function oldestUsage(store: EventStore): Promise<OldestUsage> {
  const stop = new AbortController()
  const lastOf = new Map<string, StoredEvent>()
  let event: StoredEvent | null = null
  let read = 0
  try {
    for await (const { events, caughtUp } of store.subscribe(null, [USAGE_STREAM], stop.signal)) {
      for (const one of events) {
        event ??= one
        const before = lastOf.get(one.stream)
        if (before) return { event, notLast: before }
        lastOf.set(one.stream, one)
      }
      read += events.length
      if (caughtUp || read >= MOST_EVENTS) break
    }
  } finally {
    stop.abort()
  }
  return { event, notLast: null }
}

/** @param keptDays days that usage is kept, on a server that drops it by its age; null: for ever, or the store sweeps itself */
export function assessOldestUsage(
  { event, notLast }: OldestUsage,
  { keptDays, now }: { keptDays: number | null; now: number },
): Check {
  const name = 'oldest usage event'
  if (event === null) return ok(name, 'none', { at: null, stream: null, age_days: null })
  const facts = { at: writtenAt(event), stream: event.stream, age_days: daysSince(event, now) }
  const detail = `${facts.at ?? 'unreadable'} in ${event.stream}, readable in the whole log`
  const age = notLast && daysSince(notLast, now)
  if (keptDays === null || age === null || age <= keptDays + MARGIN_DAYS + 1) return ok(name, detail, facts)
  return warn(
    name,
    `${detail}, though usage is kept for ${keptDays} days`,
    'Scavenge the event store, every night: see docs/retention.md.',
    facts,
  )
}

function writtenAt({ metadata }: StoredEvent): string | null {
  const { at } = (metadata ?? {}) as { at?: unknown }
  return typeof at === 'string' ? at : null
}

function daysSince(event: StoredEvent, now: number): number | null {
  const at = Date.parse(writtenAt(event) ?? '')
  return Number.isNaN(at) ? null : Math.floor((now - at) / DAY_MS)
}
