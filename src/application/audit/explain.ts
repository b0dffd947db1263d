import { DamagedError } from '../../domain/errors.ts'
import type { EventData, RecordedEvent } from '../../domain/events.ts'
import { upcast } from '../../domain/upcast.ts'
import { asOf } from '../tokens/asOf.ts'
import { createInspector } from '../eventLog/chainInspector.ts'
import type { TokenEvent } from '../eventLog/tokenStream.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { placeOf, productEvents } from '../eventLog/productEvents.ts'

/** One token's uses in one flush window of one process, as they were recorded. */
export interface UseWindow {
  /** The event that records it. */
  stream: string
  revision: number
  data: EventData<'TokenUsed'>
}

/** Uses that could not be kept; nobody knows of which tokens. */
export type Lost = EventData<'UsageLost'>

export interface UsesAround {
  /** Windows whose first and last use are on either side of the time, oldest first. */
  during: UseWindow[]
  /** The nearest windows that ended before the time, and began after it. */
  before: UseWindow | null
  after: UseWindow | null
  lost: Lost[]
}

type Used = Extract<RecordedEvent, { type: 'TokenUsed' }>

/**
 * Finds the uses of a token around a time. It reads the whole log, since uses are stored by process and day, not by
 * token.
 * @param at RFC 3339 UTC with milliseconds
 * @throws DamagedError that names an event which would be shown but is not what was written
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
  for await (const batch of productEvents(store, (await store.head()) ?? '')) {
    for (const stored of batch) {
      const read = stored.metadata === null ? null : upcast(stored)
      if (read?.kind !== 'event') continue
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
  await assertSound(store, [...during, ...lost, ...[before, after].filter((event) => event !== null)])
  return {
    during: during.map(toWindow).sort((a, b) => (a.data.firstAt < b.data.firstAt ? -1 : 1)),
    before: before && toWindow(before),
    after: after && toWindow(after),
    lost: lost.map(({ data }) => data),
  }
}

async function assertSound(store: EventStore, shown: readonly RecordedEvent[]): Promise<void> {
  const inspect = createInspector(store)
  for (const event of shown) {
    // Read once more, since the event here was upcast, and a link covers an event as it is stored.
    const [stored] = await store.readStream(event.stream, event.revision, 1)
    const wrong = stored ? await inspect(stored) : 'gone'
    if (wrong !== null) throw new DamagedError(`${placeOf(event)} cannot be shown: ${wrong}.`)
  }
}

const toWindow = ({ stream, revision, data }: Used): UseWindow => ({ stream, revision, data })

/** What the token's history says about the revision on which uses were decided. */
export type Verdict =
  | { kind: 'current' }
  /**
   * Decided on a revision that had been changed already, up to `ms` milliseconds before, by the clocks of the events.
   */
  | { kind: 'behind'; change: { revision: number; type: string; at: string }; ms: number }
  /** No clock explains it. */
  | { kind: 'impossible'; why: 'revoked' | 'no such revision' }

/** Compares uses with the history of their token. @param events its whole stream, as `readTokenEvents` gives it */
export function assessUses(events: readonly TokenEvent[], { data }: UseWindow): Verdict {
  const { tokenRevision, lastAt } = data
  const then = asOf(events, { revision: tokenRevision })
  if (!then.found) return { kind: 'impossible', why: 'no such revision' }
  if (then.token.status === 'revoked') return { kind: 'impossible', why: 'revoked' }
  const next = events[tokenRevision + 1]?.stored
  if (!next) return { kind: 'current' }
  const { at } = next.metadata as { at: string }
  if (lastAt <= at) return { kind: 'current' }
  const { revision, type } = next
  return { kind: 'behind', change: { revision, type, at }, ms: Date.parse(lastAt) - Date.parse(at) }
}
