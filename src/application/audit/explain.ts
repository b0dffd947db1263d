import { DamagedError } from '../../domain/errors.ts'
import type { EventData, LifecycleEvent, RecordedEvent, StoredEvent } from '../../domain/events.ts'
import { USAGE_STREAM } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { entriesOf, type RetiredEntry, type UsageEntry } from '../../domain/usageEntries.ts'
import { asOf } from '../tokens/asOf.ts'
import { flawOf } from '../eventLog/eventCheck.ts'
import { createInspector } from '../eventLog/chainInspector.ts'
import type { SoundEvents } from '../eventLog/soundEvents.ts'
import { readSome, type TokenEvent } from '../eventLog/tokenStream.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { isForeign, isOfProduct, placeOf } from '../eventLog/productEvents.ts'

/** One token's uses in one flush window of one process, as an event records them. */
export interface UseWindow {
  /** The event that records it. */
  stream: string
  revision: number
  data: UsageEntry
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
  /** Refused requests with secrets of the token that had retired, in windows on either side of the time. */
  retired: RetiredEntry[]
  /** Parts of the log that are missing or damaged, and may hold more uses. */
  damages: string[]
}

/** A window as it was found, with the event that records it. */
interface FoundWindow {
  event: RecordedEvent
  data: UsageEntry
}

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
  const during: FoundWindow[] = []
  const lost: Extract<RecordedEvent, { type: 'UsageLost' }>[] = []
  const retired: { event: RecordedEvent; data: RetiredEntry }[] = []
  let before: FoundWindow | null = null
  let after: FoundWindow | null = null
  let events = 0
  const damages: string[] = []
  for await (const batch of readablePast(store, (await store.head()) ?? '', damages)) {
    for (const stored of batch) {
      const read = upcast(stored)
      if (read.kind !== 'event') continue
      const { event } = read
      const flaw = isUsage(stored) ? flawOf(event) : null
      if (flaw !== null) {
        damages.push(`${placeOf(stored)} cannot be used: ${flaw}`)
        continue
      }
      if (event.type === 'UsageLost' && event.data.from <= at && at <= event.data.to) lost.push(event)
      if (event.type === 'RetiredSecretsUsed')
        for (const data of event.data.entries)
          if (data.tokenId === tokenId && isDuring(data, at)) retired.push({ event, data })
      for (const data of entriesOf(event)) {
        if (data.tokenId !== tokenId) continue
        const { firstAt, lastAt } = data
        if (isDuring(data, at)) during.push({ event, data })
        else if (lastAt < at && lastAt >= (before?.data.lastAt ?? '')) before = { event, data }
        else if (firstAt > at && (after === null || firstAt < after.data.firstAt)) after = { event, data }
      }
    }
    onProgress((events += batch.length))
  }
  const windows = [...during, ...[before, after].filter((window) => window !== null)]
  const shownEvents = [...windows, ...retired].map(({ event }) => event)
  const unsound = await unsoundAmong(store, new Set([...shownEvents, ...lost]))
  for (const [event, wrong] of unsound) damages.push(`${placeOf(event)} cannot be shown: ${wrong}`)
  const shown = (window: FoundWindow | null): UseWindow | null =>
    window && !unsound.has(window.event) ? toWindow(window) : null
  return {
    during: during
      .flatMap((window) => shown(window) ?? [])
      .sort((a, b) => (a.data.firstAt < b.data.firstAt ? -1 : 1)),
    before: shown(before),
    after: shown(after),
    lost: lost.filter((event) => !unsound.has(event)).map(({ data }) => data),
    retired: retired.filter(({ event }) => !unsound.has(event)).map(({ data }) => data),
    damages,
  }
}

const isDuring = ({ firstAt, lastAt }: Pick<UsageEntry, 'firstAt' | 'lastAt'>, at: string): boolean =>
  firstAt <= at && at <= lastAt

const isUsage = ({ stream }: StoredEvent): boolean => stream.startsWith(USAGE_STREAM)

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
  shown: ReadonlySet<RecordedEvent>,
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

const toWindow = ({ event: { stream, revision }, data }: FoundWindow): UseWindow => ({
  stream,
  revision,
  data,
})

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
  /** The secret had retired up to `ms` milliseconds before, by the clocks of the events. */
  | { kind: 'retired'; retiredAt: string; ms: number }
  /** No difference of clocks can explain the uses. */
  | { kind: 'impossible'; why: 'revoked' | 'no such revision' | 'dead secret' | 'no such secret' }

/** Compares uses with the history of their token. */
export function assessUses({ events, flaws }: SoundEvents, { data }: UseWindow): Verdict {
  const { tokenRevision, secret, lastAt } = data
  if (flaws.some(({ from }) => from <= tokenRevision)) return { kind: 'unknown' }
  const then = asOf(events, { revision: tokenRevision })
  if (!then.found) return { kind: 'impossible', why: 'no such revision' }
  if (then.token.status === 'revoked') return { kind: 'impossible', why: 'revoked' }
  const { secret: older, rotation } = then.token
  if (secret !== older.revision && secret !== rotation?.secret.revision)
    return {
      kind: 'impossible',
      why: secret <= tokenRevision && broughtBy(events, secret) ? 'dead secret' : 'no such secret',
    }
  const retiredAt = secret === older.revision ? (rotation?.retiresAt ?? null) : null
  if (retiredAt !== null && retiredAt < lastAt)
    return { kind: 'retired', retiredAt, ms: Date.parse(lastAt) - Date.parse(retiredAt) }
  if (flaws.some(({ from }) => from === tokenRevision + 1)) return { kind: 'unknown' }
  const next = events[tokenRevision + 1]?.stored
  if (!next) return { kind: 'current' }
  const { at } = next.metadata as { at: string }
  if (lastAt <= at) return { kind: 'current' }
  const { revision, type } = next
  return { kind: 'behind', change: { revision, type, at }, ms: Date.parse(lastAt) - Date.parse(at) }
}

/** Which event brought the secret? */
const broughtBy = (events: readonly TokenEvent[], secret: number): LifecycleEvent | null => {
  const known = events.find(({ stored }) => stored.revision === secret)?.known
  return known && 'hash' in known.data ? known : null
}

/** The hint of one of the token's secrets; null where its history does not say. */
export const hintOfSecret = ({ events }: SoundEvents, secret: number): string | null => {
  const event = broughtBy(events, secret)
  return event && 'hint' in event.data ? event.data.hint : null
}
