import { DamagedError } from '../../domain/errors.ts'
import type { EventData, RecordedEvent, StoredEvent } from '../../domain/events.ts'
import { upcast } from '../../domain/upcast.ts'
import { asOf } from '../tokens/asOf.ts'
import { createInspector } from '../eventLog/chainInspector.ts'
import type { SoundEvents } from '../eventLog/soundEvents.ts'
import { readSome } from '../eventLog/tokenStream.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { isForeign, isOfProduct, placeOf } from '../eventLog/productEvents.ts'

/** One token's uses in one flush window of one process, as they were recorded. */
export interface UseWindow {
  /** The event that records it. */
  stream: string
  revision: number
  data: EventData<'TokenUsed'>
}

/** Uses that were lost. Nobody knows which tokens they belong to. */
export type LostUses = EventData<'UsageLost'>

export interface UsesAround {
  /** Windows whose first and last use are on either side of the time, oldest first. */
  during: UseWindow[]
  /** The nearest windows: the last one that ended before the time, and the first one that began after it. */
  before: UseWindow | null
  after: UseWindow | null
  lost: LostUses[]
  /** Parts of the log that are missing or damaged, and may hold more uses. */
  damages: string[]
}

type Used = Extract<RecordedEvent, { type: 'TokenUsed' }>

/**
 * Finds the uses of a token around a time. It reads the whole log, since uses are stored by process and day, not by
 * token, and continues after damaged events.
 * @param at RFC 3339 UTC with milliseconds
 */
export async function usesAround(
  store: EventStore,
  tokenId: string,
  at: string,
  onProgress: (events: number) => void = () => {},
): Promise<UsesAround> {
  const during: Used[] = []
  const lost: Extract<RecordedEvent, { type: 'UsageLost' }>[] = []
  let before: Used | null = null
  let after: Used | null = null
  let events = 0
  const damages: string[] = []
  for await (const batch of readablePast(store, (await store.head()) ?? '', damages)) {
    for (const stored of batch) {
      const read = upcast(stored)
      if (read.kind !== 'event') continue
      const { event } = read
      if (event.type === 'UsageLost' && event.data.from <= at && at <= event.data.to) lost.push(event)
      if (event.type !== 'TokenUsed' || event.data.tokenId !== tokenId) continue
      const { firstAt, lastAt } = event.data
      if (firstAt <= at && at <= lastAt) during.push(event)
      else if (lastAt < at && lastAt >= (before?.data.lastAt ?? '')) before = event
      else if (firstAt > at && (after === null || firstAt < after.data.firstAt)) after = event
    }
    onProgress((events += batch.length))
  }
  const found = [...during, ...lost, ...[before, after].filter((event) => event !== null)]
  const unsound = await unsoundAmong(store, found)
  for (const [event, wrong] of unsound) damages.push(`${placeOf(event)} cannot be shown: ${wrong}`)
  const shown = (event: Used | null): UseWindow | null =>
    event && !unsound.has(event) ? toWindow(event) : null
  return {
    during: during
      .flatMap((event) => shown(event) ?? [])
      .sort((a, b) => (a.data.firstAt < b.data.firstAt ? -1 : 1)),
    before: shown(before),
    after: shown(after),
    lost: lost.filter((event) => !unsound.has(event)).map(({ data }) => data),
    damages,
  }
}

/** The product's events up to a position. Events that cannot be read are noted as damage. */
async function* readablePast(
  store: EventStore,
  end: string,
  damages: string[],
): AsyncGenerator<StoredEvent[], void, undefined> {
  for (let after: string | null = null; ; ) {
    try {
      for await (const batch of store.readAll(after)) {
        const readable: StoredEvent[] = []
        for (const event of batch.filter(({ position }) => position <= end)) {
          if (event.metadata !== null) readable.push(event)
          else if (isOfProduct(event) || !(await isForeign(store, event)))
            damages.push(`${placeOf(event)} cannot be read`)
        }
        yield readable.filter(isOfProduct)
        after = batch.at(-1)?.position ?? after
        if (after !== null && after >= end) return
      }
      return
    } catch (error) {
      if (!(error instanceof DamagedError) || error.after === undefined) throw error
      damages.push(error.message)
      after = error.after
    }
  }
}

async function unsoundAmong(
  store: EventStore,
  shown: readonly RecordedEvent[],
): Promise<Map<RecordedEvent, string>> {
  const inspect = createInspector(store)
  const unsound = new Map<RecordedEvent, string>()
  for (const event of shown) {
    // The event is read again, since it was upcast here, and its link covers the event as it is stored.
    const { events, damage } = await readSome(store, event.stream, event.revision, 1)
    const wrong = damage ? damage.message : events[0] ? await inspect(events[0]) : 'gone'
    if (wrong !== null) unsound.set(event, wrong)
  }
  return unsound
}

const toWindow = ({ stream, revision, data }: Used): UseWindow => ({ stream, revision, data })

/** What the token's history says about the revision on which uses were decided. */
export type Verdict =
  | { kind: 'current' }
  /**
   * The uses were decided on a revision that had been changed already, up to `ms` milliseconds before, by the clocks of
   * the events.
   */
  | { kind: 'behind'; change: { revision: number; type: string; at: string }; ms: number }
  /** The event at that revision, before it or next to it is missing or damaged. */
  | { kind: 'unknown' }
  /** No difference of clocks can explain the uses. */
  | { kind: 'impossible'; why: 'revoked' | 'no such revision' }

/** Compares uses with the history of their token. */
export function assessUses({ events, flaws }: SoundEvents, { data }: UseWindow): Verdict {
  const { tokenRevision, lastAt } = data
  if (flaws.some(({ from }) => from <= tokenRevision)) return { kind: 'unknown' }
  const then = asOf(events, { revision: tokenRevision })
  if (!then.found) return { kind: 'impossible', why: 'no such revision' }
  if (then.token.status === 'revoked') return { kind: 'impossible', why: 'revoked' }
  if (flaws.some(({ from }) => from === tokenRevision + 1)) return { kind: 'unknown' }
  const next = events[tokenRevision + 1]?.stored
  if (!next) return { kind: 'current' }
  const { at } = next.metadata as { at: string }
  if (lastAt <= at) return { kind: 'current' }
  const { revision, type } = next
  return { kind: 'behind', change: { revision, type, at }, ms: Date.parse(lastAt) - Date.parse(at) }
}
