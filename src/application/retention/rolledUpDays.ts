import { genesis } from '../../domain/chain.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { RecordedEvent, StoredEvent } from '../../domain/events.ts'
import { ROLLED_UP_DAYS, rollUpStream } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { dayOf, entriesOf } from '../../domain/usageEntries.ts'
import { flawOf } from '../eventLog/eventCheck.ts'
import { linked, type StreamTail } from '../eventLog/linkedEvents.ts'
import type { EventStore } from '../ports/eventStore.ts'

export type UsageEvent = RecordedEvent<'TokensUsed' | 'TokenUsed' | 'RetiredSecretsUsed' | 'UsageLost'>

/**
 * A usage event, with the UTC days (`2026-11-22`) that its uses count for; null if this version cannot count it. Refused
 * requests with retired secrets are no uses: no day is rolled up for them.
 */
export function usageOf(stored: StoredEvent): { event: UsageEvent; days: ReadonlySet<string> } | null {
  const read = upcast(stored)
  if (read.kind !== 'event' || flawOf(read.event) !== null) return null
  const { event } = read
  if (event.type === 'UsageLost') return { event, days: new Set([dayOf({ firstAt: event.data.from })]) }
  if (event.type === 'RetiredSecretsUsed') return { event, days: new Set() }
  if (event.type !== 'TokensUsed' && event.type !== 'TokenUsed') return null
  return { event, days: new Set(entriesOf(event).map(dayOf)) }
}

/** Which days are rolled up, and which events that covers, as the log itself says. */
export interface RolledUpDays {
  /**
   * Reads what was added since the last call.
   * @returns the streams of which more is covered now.
   * @throws DamagedError
   */
  refresh(): Promise<ReadonlySet<string>>
  /** Are the uses of this event in the roll-up of its day? */
  covers(day: string, event: Pick<StoredEvent, 'stream' | 'revision'>): boolean
  /** The revision up to which the roll-up stream of a day is complete; -1 for a day without a roll-up. */
  upTo(day: string): number
  /** @throws DamagedError if the roll-up of this day is not complete as it was written */
  verify(day: string): Promise<void>
  tail(): StreamTail
}

/** Takes memory for each day that is rolled up, and for each process that wrote on that day. */
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
