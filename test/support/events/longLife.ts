import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { ids } from '../../../src/application/eventLog/ids.ts'
import { genesis, link, storedChain } from '../../../src/domain/chain.ts'
import type { NewEvent, StoredEvent } from '../../../src/domain/events.ts'
import { tokenStream } from '../../../src/domain/streams.ts'

const AT_ONCE = 100

/**
 * Changes an existing token until its stream has so many events, a hundred in an append, without any command. The
 * events are the same as those of commands.
 */
export async function growHistory(
  store: EventStore,
  tokenId: string,
  events: number,
  type = 'TokenUpdated',
): Promise<void> {
  const stream = tokenStream(tokenId)
  const all = await store.readStream(stream)
  const last = all.at(-1)
  let chain = last ? storedChain(last) : genesis(stream)
  for (let next = all.length; next < events; ) {
    const some = Array.from({ length: Math.min(AT_ONCE, events - next) }, (_, i) =>
      lifeEvent(type, { name: `name ${next + i}` }, last),
    )
    const linked = link(chain, some)
    const { revision } = await store.append(stream, next === 0 ? 'no_stream' : next - 1, linked)
    chain = storedChain(linked.at(-1) as NewEvent)
    next = revision + 1
  }
}

/** Adds one event of any type to a token's stream, as a newer version of this product may write it. */
export async function appendTo(
  store: EventStore,
  tokenId: string,
  type: string,
  { data = {}, ...metadata }: { data?: object; informational?: true; schemaVersion?: number } = {},
): Promise<void> {
  const stream = tokenStream(tokenId)
  const last = (await store.readStream(stream)).at(-1)
  const event = lifeEvent(type, data, last)
  const [linked] = link(last ? storedChain(last) : genesis(stream), [
    { ...event, metadata: { ...event.metadata, ...metadata } },
  ])
  await store.append(stream, last ? last.revision : 'no_stream', [linked as NewEvent])
}

/** The event is not linked yet. */
export function lifeEvent(type: string, data: object, after: StoredEvent | undefined): NewEvent {
  const id = ids.random()
  const at = (after?.metadata as { at?: string } | undefined)?.at ?? new Date().toISOString()
  const actor = { kind: 'jwt', id: 'acct_1' }
  const metadata = {
    at,
    actor,
    requestId: id,
    correlationId: id,
    ip: null,
    userAgent: null,
    schemaVersion: 1,
  }
  return { id, type, data, metadata } as unknown as NewEvent
}
