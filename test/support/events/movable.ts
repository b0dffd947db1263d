import { randomUUID } from 'node:crypto'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { genesis, link, storedChain } from '../../../src/domain/chain.ts'
import type { NewEvent } from '../../../src/domain/events.ts'
import { tokenStream, USAGE_STREAM } from '../../../src/domain/streams.ts'

/** Values that a store must give back unchanged. */
const ODD: Record<string, unknown> = JSON.parse(`{
  "text": "\\u0000 \\ud800 \\u2028 \\ufeff \\u202e é e\\u0301 😀 \\\\ \\" </script> \\r\\n",
  "z": 1, "a": 2, "10": 3, "9": 4, "": 5, "__proto__": { "constructor": null }, "ключ": [],
  "numbers": [0, 0.1, 1e21, 1e-7, 9007199254740991, -1.5e300], "deep": [[{ "x": [null, true, ""] }]]
}`)

export function movableEvent(
  type: string,
  data: Record<string, unknown> = ODD,
  more: Record<string, unknown> = {},
): NewEvent {
  const id = randomUUID()
  const metadata = {
    at: '2026-11-02T10:00:00.000Z',
    actor: { kind: 'jwt', id: 'acct_1' },
    requestId: id,
    correlationId: id,
    schemaVersion: 1,
    userAgent: ODD.text,
    ...more,
  }
  return { id, type, data, metadata } as unknown as NewEvent
}

/** Appends linked events to the end of a stream, and remembers where each stream ends. */
export function createWriter(store: EventStore) {
  const tails = new Map<string, { revision: number; chain: string }>()
  return async (stream: string, events: readonly NewEvent[]): Promise<void> => {
    const tail = tails.get(stream) ?? { revision: -1, chain: genesis(stream) }
    const linked = link(tail.chain, events)
    const { revision } = await store.append(stream, tail.revision < 0 ? 'no_stream' : tail.revision, linked)
    tails.set(stream, { revision, chain: storedChain(linked.at(-1) as NewEvent) })
  }
}

export const USAGE = `${USAGE_STREAM}instance_20261102`

/** Lives of tokens with usage in between: 8 events for each, in four appends. */
export async function fill(store: EventStore, tokens: number): Promise<void> {
  const write = createWriter(store)
  for (let i = 0; i < tokens; i++) {
    const stream = tokenStream(randomUUID())
    await write(stream, [movableEvent('TokenCreated')])
    await write(
      USAGE,
      Array.from({ length: 5 }, () => movableEvent('TokenUsed')),
    )
    await write(stream, [movableEvent('SomethingLater', {})])
    await write(stream, [movableEvent('TokenRevoked', { reason: null })])
  }
}
