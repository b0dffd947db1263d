import { genesis, link, storedChain } from '../../domain/chain.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { EventData, NewEvent, StoredEvent } from '../../domain/events.ts'
import { DELIVERY_STREAM } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { appendUntilKnown, type AppendTelemetry } from '../eventLog/append.ts'
import type { Ids } from '../eventLog/ids.ts'
import { systemEvent } from '../eventLog/systemEvent.ts'
import type { Clock } from '../ports/clock.ts'
import type { EventStore } from '../ports/eventStore.ts'

/** How far somebody was told, as it is stored. */
export type Delivered = EventData<'DeliveryAdvanced'>

export interface OutboxDependencies {
  store: EventStore
  clock: Clock
  ids: Ids
  telemetry: AppendTelemetry
  /** Identifies this start of the process. */
  instance: string
}

export interface Outbox {
  /** What is stored; null if nobody was ever told. @throws StoreUnavailableError, DamagedError */
  load(): Promise<Delivered | null>
  /**
   * Stores how far it is now, behind what was loaded or stored last.
   * @throws ConflictError another process has stored something since; others as `EventStore.append`
   */
  save(state: Delivered): Promise<void>
}

/** So many events of the stream are left when it is shortened, which is when it has twice as many. */
const KEPT = 20

/** The checkpoint of a delivery, in a stream of its own. Its newest event says all of it. */
export function createOutbox(name: string, deps: OutboxDependencies): Outbox {
  const { store } = deps
  const stream = DELIVERY_STREAM + name
  let tail = { revision: -1, chain: genesis(stream) }
  let first = 0

  return {
    async load() {
      const events = await store.readStream(stream)
      const last = events.at(-1)
      if (!last) return null
      first = events[0]?.revision ?? 0
      tail = { revision: last.revision, chain: storedChain(last) }
      return stateIn(last)
    },

    async save(state) {
      const fact = { type: 'DeliveryAdvanced' as const, data: state }
      const [event] = link(tail.chain, [systemEvent(fact, deps)]) as [NewEvent]
      const expected = tail.revision < 0 ? 'no_stream' : tail.revision
      const { revision } = await appendUntilKnown(deps, stream, expected, [event])
      tail = { revision, chain: storedChain(event) }
      if (revision - first < 2 * KEPT) return
      await store.sweep?.(stream, revision - KEPT)
      first = revision - KEPT + 1
    },
  }
}

/** Of checkpoints, which may name many tokens, so many bytes a second are written at most, on average. */
const BYTES_PER_SECOND = 4_096

/**
 * @returns a function that stores a state, unless it is stored already, or another one was a moment ago
 * @param leastMs the shortest time between two
 */
export function createSaver(
  outbox: Outbox,
  from: Delivered,
  leastMs: number,
): (state: Delivered, isLast?: boolean) => Promise<void> {
  let [stored, nextAt] = [JSON.stringify(from), 0]
  return async (state, isLast = false) => {
    const text = JSON.stringify(state)
    if (text === stored || (!isLast && performance.now() < nextAt)) return
    await outbox.save(state)
    stored = text
    nextAt = performance.now() + Math.max(leastMs, (text.length / BYTES_PER_SECOND) * 1_000)
  }
}

function stateIn(stored: StoredEvent): Delivered {
  const read = upcast(stored)
  if (read.kind === 'event' && read.event.type === 'DeliveryAdvanced') return read.event.data
  throw new DamagedError(
    `revision ${stored.revision} of ${stored.stream} does not say how far it was delivered`,
  )
}
