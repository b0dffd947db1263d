import { ConflictError } from '../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { ids } from '../../../src/application/eventLog/ids.ts'
import { createHeart } from '../../../src/application/sharing/heart.ts'
import type { NewEvent, StoredEvent } from '../../../src/domain/events.ts'

export interface MemoryStore {
  store: EventStore
  /** The log itself, to be damaged. */
  log: StoredEvent[]
  /** The appends that came: stream, expected revision, number of events. */
  appends: [stream: string, expected: number | 'no_stream', events: number][]
  /** An event of another application that shares the store. */
  addForeign(event?: Partial<StoredEvent>): void
}

/**
 * An event store that is like a shared EventStoreDB: positions have gaps, batches are small, and events of others come
 * in between.
 */
export function memoryStore(): MemoryStore {
  const log: StoredEvent[] = []
  const appends: MemoryStore['appends'] = []
  let commit = 0
  const nextPosition = () => `${String((commit += 137)).padStart(20, '0')}/x`
  const ofStream = (stream: string) => log.filter((event) => event.stream === stream)
  const throughJson = <T>(value: T): T => JSON.parse(Buffer.from(JSON.stringify(value)).toString()) as T

  function place(stream: string, revision: number, event: NewEvent): StoredEvent {
    const stored = { ...throughJson(event), stream, revision, position: nextPosition() }
    log.push(stored)
    return stored
  }

  const store: EventStore = {
    async append(stream, expected, events) {
      const there = ofStream(stream)
      const base = expected === 'no_stream' ? -1 : expected
      appends.push([stream, expected, events.length])
      const placed = there.slice(base + 1, base + 1 + events.length)
      const isRepeat = placed.length === events.length && placed.every(({ id }, i) => id === events[i]?.id)
      if (!isRepeat && there.length - 1 !== base) throw new ConflictError(stream, there.length - 1)
      const stored = isRepeat ? placed : events.map((event, i) => place(stream, base + 1 + i, event))
      return { revision: base + events.length, position: stored.at(-1)?.position ?? '' }
    },
    readStream: async (stream, from = 0, limit = Number.MAX_SAFE_INTEGER) =>
      ofStream(stream)
        .filter(({ revision }) => revision >= from)
        .slice(0, limit),
    at: async (position) => log.find((event) => event.position === position) ?? null,
    async *readAll(after) {
      for (let next = log.findIndex(({ position }) => position > (after ?? '')); next >= 0; ) {
        const batch = log.slice(next, next + 7)
        if (batch.length === 0) return
        yield batch
        next += batch.length
      }
    },
    async *subscribe() {},
    head: async () => log.at(-1)?.position ?? null,
    async close() {},
  }

  return {
    store,
    log,
    appends,
    addForeign(event = {}) {
      const stream = 'orders-1'
      const revision = ofStream(stream).length
      const given = { id: 'x', type: 'Ordered', data: null, metadata: null, stream, revision }
      log.push({ ...given, position: nextPosition(), ...event })
    },
  }
}

/** What processes that share a store signal to each other, of which the server has dropped the first ones. */
export async function addSignals({ store, log }: MemoryStore): Promise<void> {
  const now = () => ({ monotonic: performance.now(), wall: Date.now() })
  const heart = createHeart({ store, clock: Date.now, ids, now })
  for (let n = 0; n < 3; n++) await heart.beat(new AbortController().signal, () => {})
  const first = log.findIndex(({ stream }) => stream.startsWith(heart.prefix))
  log.splice(first, 1)
}
