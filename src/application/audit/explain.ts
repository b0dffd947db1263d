import { DamagedError } from '../../domain/errors.ts'
import type { EventData, LifecycleEvent, StoredEvent } from '../../domain/events.ts'
import { USAGE_STREAM } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { entriesOf, type RetiredEntry, type UsageEntry } from '../../domain/usageEntries.ts'
import { asOf } from '../tokens/asOf.ts'
import { flawOf } from '../eventLog/eventCheck.ts'
import { createInspector } from '../eventLog/chainInspector.ts'
import type { SoundEvents } from '../eventLog/soundEvents.ts'
import type { TokenEvent } from '../eventLog/tokenStream.ts'
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

/** What was found, with the event that records it, as it is stored: that is what its link covers. */
interface Found<Data> {
  event: StoredEvent
  data: Data
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
  const during: Found<UsageEntry>[] = []
  const lost: Found<LostUses>[] = []
  const retired: Found<RetiredEntry>[] = []
  let before: Found<UsageEntry> | null = null
  let after: Found<UsageEntry> | null = null
  let events = 0
  const damages: string[] = []
  for await (const batch of readablePast(store, (await store.head()) ?? '', damages)) {
    for (const event of batch) {
      const read = upcast(event)
      if (read.kind !== 'event') continue
      const flaw = isUsage(event) ? flawOf(read.event) : null
      if (flaw !== null) {
        damages.push(`${placeOf(event)} cannot be used: ${flaw}`)
        continue
      }
      const { type, data: recorded } = read.event
      if (type === 'UsageLost' && recorded.from <= at && at <= recorded.to)
        lost.push({ event, data: recorded })
      if (type === 'RetiredSecretsUsed')
        for (const data of recorded.entries)
          if (data.tokenId === tokenId && isDuring(data, at)) retired.push({ event, data })
      for (const data of entriesOf(read.event)) {
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
  const unsound = await unsoundAmong(
    store,
    new Set([...windows, ...retired, ...lost].map(({ event }) => event)),
  )
  for (const [event, wrong] of unsound) damages.push(`${placeOf(event)} cannot be shown: ${wrong}`)
  const shown = (window: Found<UsageEntry> | null): UseWindow | null =>
    window && !unsound.has(window.event) ? toWindow(window) : null
  return {
    during: during
      .flatMap((window) => shown(window) ?? [])
      .sort((a, b) => (a.data.firstAt < b.data.firstAt ? -1 : 1)),
    before: shown(before),
    after: shown(after),
    lost: lost.filter(({ event }) => !unsound.has(event)).map(({ data }) => data),
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
  shown: ReadonlySet<StoredEvent>,
): Promise<Map<StoredEvent, string>> {
  const inspect = createInspector(store)
  const unsound = new Map<StoredEvent, string>()
  for (const event of shown) {
    const wrong = await inspect(event)
    if (wrong !== null) unsound.set(event, wrong)
  }
  return unsound
}

const toWindow = ({ event: { stream, revision }, data }: Found<UsageEntry>): UseWindow => ({
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
