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
  /** Where it is recorded. */
  stream: string
  revision: number
  data: EventData<'TokenUsed'>
}

/** Uses that could not be kept, of whichever tokens. */
export type Lost = EventData<'UsageLost'>

export interface UsesAround {
  /** Windows that hold the time between their first and last use, oldest first. */
  during: UseWindow[]
  /** The nearest ones that ended before it, and began after it. */
  before: UseWindow | null
  after: UseWindow | null
  lost: Lost[]
}

type Used = Extract<RecordedEvent, { type: 'TokenUsed' }>

/**
 * Looks through the whole log: uses are stored by process and day, not by token.
 * @param at RFC 3339 UTC with milliseconds
 * @throws DamagedError naming an event that would be shown and is not what was written
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
    // As it is stored: what was read has been brought to the newest version, which its link does not know.
    const [stored] = await store.readStream(event.stream, event.revision, 1)
    const wrong = stored ? await inspect(stored) : 'gone'
    if (wrong !== null) throw new DamagedError(`${placeOf(event)} cannot be shown: ${wrong}.`)
  }
}

const toWindow = ({ stream, revision, data }: Used): UseWindow => ({ stream, revision, data })

/** What the token's history says of the revision that uses were decided on. */
export type Verdict =
  | { kind: 'current' }
  /** Decided before word of the next change had come; `ms` after it at most, by the clocks of the events. */
  | { kind: 'behind'; change: { revision: number; type: string; at: string }; ms: number }
  /** No clock explains it. */
  | { kind: 'impossible'; why: 'revoked' | 'no such revision' }

/** @param events the whole stream of the token, as `readTokenEvents` gives it */
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
