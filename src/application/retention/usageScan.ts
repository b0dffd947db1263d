import type { StoredEvent } from '../../domain/events.ts'
import { USAGE_STREAM } from '../../domain/streams.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { type RolledUpDays, usageOf } from './rolledUpDays.ts'

/** A day with usage events that its roll-up does not cover, and the part of the log in which they are. */
export interface PendingDay {
  day: string
  /** The part begins behind this position. */
  after: string | null
  /** Position of its last event. */
  until: string
}

/**
 * Reads usage events once, in log order, and knows which days have to be rolled up, and which streams may be removed.
 */
export interface UsageScan {
  /** Reads on to the end of the log as it is now. */
  advance(signal: AbortSignal): Promise<void>
  /** Oldest first. */
  pending(): PendingDay[]
  rolledUp(day: string): void
  /**
   * The streams whose newest event was written before a time (RFC 3339) and whose events are all rolled up; with the
   * revision of that newest event, and the days of their uses.
   */
  finished(before: string): { stream: string; revision: number; days: string[] }[]
  forget(stream: string): void
}

interface UsageStream {
  revision: number
  newestAt: string
  /** For each day of use, the revision of the last event. */
  days: Map<string, number>
  /** Can this version count every event of the stream? */
  countable: boolean
}

/** Takes memory for each usage stream that is kept, not for each event. */
export function createUsageScan(store: EventStore, rolledUpDays: RolledUpDays): UsageScan {
  const streams = new Map<string, UsageStream>()
  const days = new Map<string, PendingDay>()
  let position: string | null = null

  function take(stored: StoredEvent): void {
    const { stream, revision } = stored
    const known = streams.get(stream) ?? { revision, newestAt: '', days: new Map(), countable: true }
    streams.set(stream, known)
    known.revision = revision
    const usage = usageOf(stored)
    if (!usage) {
      known.countable = false
      return
    }
    const { event, days: ofEvent } = usage
    if (event.metadata.at > known.newestAt) known.newestAt = event.metadata.at
    for (const day of ofEvent) {
      known.days.set(day, revision)
      if (rolledUpDays.covers(day, stored)) continue
      const { after } = days.get(day) ?? { after: position }
      days.set(day, { day, after, until: stored.position })
    }
  }

  const isFinished = (stream: string, { newestAt, days: ofStream, countable }: UsageStream, before: string) =>
    countable &&
    newestAt < before &&
    [...ofStream].every(([day, revision]) => rolledUpDays.covers(day, { stream, revision }))

  return {
    async advance(signal) {
      for await (const events of store.readAll(position)) {
        for (const event of events) {
          if (event.stream.startsWith(USAGE_STREAM)) take(event)
          position = event.position
        }
        if (signal.aborted) return
      }
    },
    pending: () => [...days.values()].sort((a, b) => (a.day < b.day ? -1 : 1)),
    rolledUp: (day) => void days.delete(day),
    finished: (before) =>
      [...streams]
        .filter(([stream, known]) => isFinished(stream, known, before))
        .map(([stream, known]) => ({ stream, revision: known.revision, days: [...known.days.keys()] })),
    forget: (stream) => void streams.delete(stream),
  }
}
