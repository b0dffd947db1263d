import { genesis, isLinked, storedChain } from '../domain/chain.ts'
import { type StoredEvent, USAGE_STREAM } from '../domain/events.ts'
import type { EventStore } from './ports.ts'

/** Streams whose last link is remembered; an event of another one costs a read of the event before it. */
const REMEMBERED_STREAMS = 10_000

interface Link {
  revision: number
  previous: string
  chain: string
}

/**
 * Checks events as they come from the log: does each follow from the one before it in its stream?
 * @returns what is wrong, or null
 */
export function createInspector(store: EventStore): (event: StoredEvent) => string | null | Promise<string | null> {
  const links = new Map<string, Link>()

  function remember(event: StoredEvent, previous: string): void {
    const { stream, revision } = event
    if (links.size >= REMEMBERED_STREAMS && !links.has(stream)) {
      for (const oldest of links.keys()) {
        links.delete(oldest)
        break
      }
    }
    links.set(stream, { revision, previous, chain: storedChain(event) })
  }

  function judge(event: StoredEvent, previous: string): string | null {
    const linked = isLinked(previous, event)
    remember(event, previous)
    return linked ? null : 'altered or inserted'
  }

  async function judgeFromStore(event: StoredEvent): Promise<string | null> {
    const [before] = await store.readStream(event.stream, event.revision - 1, 1)
    if (before?.revision === event.revision - 1) return judge(event, storedChain(before))
    const [first] = await store.readStream(event.stream, 0, 1)
    if (event.stream.startsWith(USAGE_STREAM) && first?.revision === event.revision) {
      // Retention takes events from the front of a usage stream: what is left is checked from its first event on.
      remember(event, '')
      return null
    }
    return 'the event before it is missing'
  }

  return (event) => {
    if (event.revision === 0) return judge(event, genesis(event.stream))
    const known = links.get(event.stream)
    if (known?.revision === event.revision - 1) return judge(event, known.chain)
    if (known?.revision === event.revision) return judge(event, known.previous)
    return judgeFromStore(event)
  }
}
