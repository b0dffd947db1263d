import { isLinked, storedChain } from '../../domain/chain.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { EventStore } from '../ports/eventStore.ts'

/** The last event of a stream that has been read: the next one has to follow from it. */
export interface StreamTail {
  revision: number
  chain: string
}

const PAGE = 500

/**
 * The events of a stream behind `tail`. `tail` is changed: it always says which event was yielded last.
 * @throws DamagedError naming the event that does not follow from the one before it
 */
export async function* linked(
  store: Pick<EventStore, 'readStream'>,
  stream: string,
  tail: StreamTail,
): AsyncGenerator<StoredEvent, void, undefined> {
  for (;;) {
    const page = await store.readStream(stream, tail.revision + 1, PAGE)
    for (const event of page) {
      if (event.revision !== tail.revision + 1 || !isLinked(tail.chain, event)) {
        throw new DamagedError(`revision ${event.revision} of ${stream} is not what was written`)
      }
      tail.revision = event.revision
      tail.chain = storedChain(event)
      yield event
    }
    if (page.length < PAGE) return
  }
}
