import { genesis, isLinked, storedChain } from '../../domain/chain.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { isSignal, USAGE_STREAM, usageStream } from '../../domain/streams.ts'
import { createCompactMap } from './compactMap.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { isForeign, isOfProduct } from '../eventLog/productEvents.ts'

/**
 * `unreadable`: the store cannot tell what was written, or its own checksum says that this is not it. `altered`: it can be
 * read, and does not follow from the event before it. `index`: the store's own tables do not agree with its events.
 */
export type DamageKind = 'altered' | 'unreadable' | 'missing' | 'misplaced' | 'index'

/** The first damaged event of a stream; or one of the log, if nothing says to which stream it belongs. */
export interface Damage {
  kind?: DamageKind
  stream: string | null
  /** The revision of the event that is missing or wrong; null if it has none. */
  revision: number | null
  /** The position where it was noticed; null if that was at no certain place in the log. */
  position: string | null
  what: string
}

export interface LogWalk {
  /** Gets each event in log order. `isSound`: up to and including this event, its stream is what was written. */
  onEvent?(event: StoredEvent, isSound: boolean): void
  /** Gets each damage, at most one for each stream. Reading goes on when it resolves. */
  onDamage(damage: Damage): Promise<void> | void
  /** Gets the number of the product's events that were read so far. Reading goes on when it resolves. */
  onProgress?(events: number): Promise<void> | void
}

export interface Walked {
  /** How many events of the product were read, sound or not. */
  events: number
  streams: number
  /** Usage streams whose first events retention has taken. */
  shortened: number
  damages: number
  /** Events that stand behind a damaged one of their stream: nothing is said of them. */
  notCompared: number
  /** Was the log read to its end? */
  isWhole: boolean
}

const UNREADABLE = "cannot be read: the store's own checksum, or its form, is not that of what was written"

/**
 * A stream's record: the revision of its last event (4 bytes), whether it is damaged (1), the link of that event (32).
 */
const BYTES = 37
const MAX_REVISION = 2 ** 32 - 1
const CHAIN = /^[0-9a-f]{64}$/

/**
 * Reads the log up to its end as it is now and checks every link. Takes about 70 bytes of memory for each stream, and
 * none for an event.
 * @throws StoreUnavailableError; DamagedError if nothing shows where the log ends
 */
export async function walkLog(
  store: EventStore,
  { onEvent, onDamage, onProgress }: LogWalk,
): Promise<Walked> {
  const streams = createCompactMap(BYTES)
  const walked: Walked = { events: 0, streams: 0, shortened: 0, damages: 0, notCompared: 0, isWhole: true }

  function report(damage: Damage): Promise<void> | void {
    walked.damages++
    return onDamage(damage)
  }

  /**
   * @returns the damage, for the first damaged event of a stream; null for a sound event, and for all behind the damage
   */
  function inspect(event: StoredEvent): Damage | null {
    const { stream, revision } = event
    const known = streams.get(stream)
    if (known?.[4] === 1) {
      walked.notCompared++
      onEvent?.(event, false)
      return null
    }
    const state = known ?? streams.add(stream)
    const previous = known ? known.toString('hex', 5) : genesis(stream)
    const next = known ? known.readUInt32LE(0) + 1 : 0
    const wrong = isReadable(event)
      ? fault(event, next, previous)
      : { kind: 'unreadable' as const, revision, what: UNREADABLE }
    if (wrong) {
      state[4] = 1
      onEvent?.(event, false)
      return { stream, position: event.position, ...wrong }
    }
    if (!known && revision > 0) walked.shortened++
    state.writeUInt32LE(revision, 0)
    state.write(storedChain(event), 5, 'hex')
    onEvent?.(event, true)
    return null
  }

  const end = await store.head()
  const stop = (): void => void (walked.isWhole = false)
  for await (const batch of batches(store, end, report, stop)) {
    for (const event of batch) {
      if (isOfProduct(event)) {
        walked.events++
        const damage = inspect(event)
        if (damage) await report(damage)
      } else if (!isSignal(event) && (await isStray(store, event))) {
        await report({
          kind: 'misplaced',
          stream: null,
          revision: null,
          position: event.position,
          what: `an event stands in '${event.stream}', which is no stream of this product`,
        })
      }
    }
    await onProgress?.(walked.events)
  }
  return { ...walked, streams: streams.size() }
}

/** The log up to a position. Missing events are reported, and reading goes on behind them. */
async function* batches(
  store: EventStore,
  end: string | null,
  report: (damage: Damage) => Promise<void> | void,
  stop: () => void,
): AsyncGenerator<StoredEvent[], void, undefined> {
  if (end === null) return
  for (let after: string | null = null; after === null || after < end; ) {
    try {
      for await (const batch of store.readAll(after)) {
        after = batch.at(-1)?.position ?? after
        yield batch.filter(({ position }) => position <= end)
        if (after !== null && after >= end) return
      }
      return
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      const isEnd = error.after === undefined
      const what = isEnd ? `the log cannot be read on from here: ${error.message}` : error.message
      const kind = isEnd ? 'unreadable' : 'missing'
      await report({ kind, stream: null, revision: null, position: isEnd ? after : null, what })
      if (error.after === undefined) return stop()
      after = error.after
    }
  }
}

type Fault = Pick<Damage, 'kind' | 'revision' | 'what'>

function fault(event: StoredEvent, next: number, previous: string): Fault | null {
  const { stream, revision } = event
  if (revision > MAX_REVISION)
    return { kind: 'altered', revision, what: 'has a revision that no stream comes to' }
  if (revision > next && next === 0 && stream.startsWith(USAGE_STREAM)) return faultOfFirstLeft(event)
  if (revision > next)
    return { kind: 'missing', revision: next, what: `is missing: revision ${revision} comes in its place` }
  if (revision < next) return { kind: 'misplaced', revision, what: 'comes again, or out of its place' }
  if (isLinked(previous, event)) return null
  return {
    kind: 'altered',
    revision,
    what: 'does not follow from the one before it: altered, inserted, or moved here',
  }
}

/**
 * Checks the first event that retention has left of a usage stream. The event before it is gone, so its link proves
 * nothing; but its writer and its day have to be those in the name of the stream.
 */
function faultOfFirstLeft(event: StoredEvent): Fault | null {
  const { stream, revision, metadata } = event
  if (isLinked(genesis(stream), event))
    return { kind: 'altered', revision, what: 'is the first of its stream, and not at revision 0' }
  const { actor, at } = metadata as { actor?: { kind?: unknown; id?: unknown }; at?: unknown }
  const isOwn = usageStream(String(actor?.id), String(at)) === stream
  if (actor?.kind === 'system' && !isOwn)
    return { kind: 'misplaced', revision, what: "stands in another writer's stream, or another day's" }
  return CHAIN.test(storedChain(event)) ? null : { kind: 'altered', revision, what: 'has no link' }
}

const isReadable = ({ metadata }: StoredEvent): boolean => typeof metadata === 'object' && metadata !== null

/** Is it an event of this product that has lost the name of its stream? */
const isStray = async (store: EventStore, event: StoredEvent): Promise<boolean> =>
  isReadable(event) ? hasLink(event.metadata as object) : !(await isForeign(store, event))

/** Does the metadata look as only this product writes it? */
const hasLink = (metadata: { chain?: unknown; requestId?: unknown; schemaVersion?: unknown }): boolean =>
  typeof metadata.chain === 'string' &&
  CHAIN.test(metadata.chain) &&
  typeof metadata.requestId === 'string' &&
  typeof metadata.schemaVersion === 'number'
