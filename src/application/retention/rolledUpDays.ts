import { genesis } from '../../domain/chain.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { RecordedEvent, StoredEvent } from '../../domain/events.ts'
import { ROLLED_UP_DAYS, rollUpStream } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { linked, type StreamTail } from '../eventLog/linkedEvents.ts'
import type { EventStore } from '../ports/eventStore.ts'

export type UsageEvent = RecordedEvent<'TokenUsed' | 'UsageLost'>

/** A usage event and the UTC day its uses are counted in, `2026-11-22`; null for what this version cannot count. */
export function usageOf(stored: StoredEvent): { event: UsageEvent; day: string } | null {
  const read = upcast(stored)
  if (read.kind !== 'event') return null
  const { event } = read
  if (event.type !== 'TokenUsed' && event.type !== 'UsageLost') return null
  const at: unknown = event.type === 'TokenUsed' ? event.data?.firstAt : event.data?.from
  const [day] = (typeof at === 'string' && /^\d{4}-\d\d-\d\d(?=T)/.exec(at)) || []
  return day === undefined ? null : { event, day }
}

/** What the log itself says about the days that are rolled up. */
export interface RolledUpDays {
  /** Reads what was added since the last time. @returns the streams it covers more of; @throws DamagedError */
  refresh(): Promise<ReadonlySet<string>>
  /** Are the uses of this event, which are of this day, in the roll-up of the day? */
  covers(day: string, event: Pick<StoredEvent, 'stream' | 'revision'>): boolean
  /** Revision of the day's stream up to which it is complete; -1 for a day without a roll-up. */
  upTo(day: string): number
  /** @throws DamagedError what is rolled up of this day is not all there as it was written */
  verify(day: string): Promise<void>
  tail(): StreamTail
}

/** Grows with the days rolled up and the processes that wrote on each. */
export function createRolledUpDays(store: Pick<EventStore, 'readStream'>): RolledUpDays {
  const days = new Map<string, { upTo: number; covers: Map<string, number> }>()
  const tail: StreamTail = { revision: -1, chain: genesis(ROLLED_UP_DAYS) }

  function take(stored: StoredEvent, covered: Set<string>): void {
    const read = upcast(stored)
    if (read.kind !== 'event' || read.event.type !== 'UsageDayRolledUp') return
    const { day, upTo, covers } = read.event.data
    const known = days.get(day) ?? { upTo: -1, covers: new Map<string, number>() }
    known.upTo = upTo
    for (const { stream, revision } of covers) {
      covered.add(stream)
      known.covers.set(stream, Math.max(revision, known.covers.get(stream) ?? -1))
    }
    days.set(day, known)
  }

  return {
    async refresh() {
      const covered = new Set<string>()
      for await (const event of linked(store, ROLLED_UP_DAYS, tail)) take(event, covered)
      return covered
    },
    covers: (day, { stream, revision }) => revision <= (days.get(day)?.covers.get(stream) ?? -1),
    upTo: (day) => days.get(day)?.upTo ?? -1,
    async verify(day) {
      const [stream, upTo] = [rollUpStream(day), days.get(day)?.upTo ?? -1]
      const read: StreamTail = { revision: -1, chain: genesis(stream) }
      for await (const { revision } of linked(store, stream, read)) if (revision >= upTo) return
      if (read.revision < upTo) throw new DamagedError(`${stream} ends before revision ${upTo}`)
    },
    tail: () => tail,
  }
}
