import { genesis, isLinked, storedChain } from '../../domain/chain.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { USAGE_STREAM } from '../../domain/streams.ts'
import type { EventStore } from '../ports/eventStore.ts'

/** How many streams' last links are remembered. An event of another stream costs a read of the event before it. */
const REMEMBERED_STREAMS = 10_000

/** The links of an event and of the one before it; null where it cannot be read any more. */
interface Link {
  revision: number
  previous: string | null
  chain: string | null
}

/**
 * Says what is wrong with an event, or null.
 * @throws DamagedError if nothing shows which stream the event belongs to
 */
export type Inspector = (event: StoredEvent) => string | null | Promise<string | null>

/** Checks events as they come from the log: does each follow from the one before it in its stream? */
export function createInspector(store: EventStore): Inspector {
  const links = new Map<string, Link>()

  function remember({ stream, revision }: StoredEvent, previous: string | null, chain: string | null): void {
    if (links.size >= REMEMBERED_STREAMS && !links.has(stream)) {
      for (const oldest of links.keys()) {
        links.delete(oldest)
        break
      }
    }
    links.set(stream, { revision, previous, chain })
  }

  function inspectAfter(event: StoredEvent, previous: string | null): string | null {
    remember(event, previous, storedChain(event))
    // A lost link must not cost the uses that come after it. A token's history, however, is sound only as a whole.
    if (previous === null) return isUsage(event) ? null : 'the event before it is damaged'
    return isLinked(previous, event) ? null : 'altered or inserted'
  }

  /**
   * An event that cannot be read may have lost its stream's name as well. Only the store's index can confirm that name.
   */
  async function inspectUnreadable(event: StoredEvent): Promise<string> {
    const found = await readOne(event.stream, event.revision)
    if (found !== 'damaged' && found?.position !== event.position) {
      throw new DamagedError(
        `The event at position ${event.position} is damaged and nothing says whose it is: restore the event store.`,
      )
    }
    remember(event, null, null)
    return 'damaged'
  }

  async function inspectFromStore(event: StoredEvent): Promise<string | null> {
    const before = await readOne(event.stream, event.revision - 1)
    if (before === 'damaged') return inspectAfter(event, null)
    if (before?.revision === event.revision - 1) return inspectAfter(event, storedChain(before))
    const first = await readOne(event.stream, 0)
    if (isUsage(event) && first !== 'damaged' && (first?.revision ?? event.revision) >= event.revision) {
      // Retention takes events from the front of a usage stream, so what is left is checked from its first event on.
      // The log of an EventStoreDB may still show events that a read of the stream does not give any more.
      return inspectAfter(event, null)
    }
    return 'the event before it is missing'
  }

  /** The first event of a stream at or after a revision. */
  async function readOne(stream: string, revision: number): Promise<StoredEvent | undefined | 'damaged'> {
    try {
      const [event] = await store.readStream(stream, revision, 1)
      return event
    } catch (error) {
      if (error instanceof DamagedError) return 'damaged'
      throw error
    }
  }

  return (event) => {
    if (event.metadata === null) return inspectUnreadable(event)
    if (event.revision === 0) return inspectAfter(event, genesis(event.stream))
    const known = links.get(event.stream)
    if (known?.revision === event.revision - 1) return inspectAfter(event, known.chain)
    if (known?.revision === event.revision) return inspectAfter(event, known.previous)
    return inspectFromStore(event)
  }
}

const isUsage = ({ stream }: StoredEvent): boolean => stream.startsWith(USAGE_STREAM)
