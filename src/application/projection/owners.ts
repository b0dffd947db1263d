import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { tokenStream } from '../../domain/streams.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { DocumentReader } from '../ports/readModel.ts'

/**
 * If several tokens have the same hash, it belongs to the one that comes first in the log, in whatever order they are
 * applied.
 */
export function createOwners(store: Pick<EventStore, 'readStream'>, readModel: DocumentReader) {
  return {
    /** The first event of the token that the read model finds by a hash, if it came later in the log than `event`. */
    async laterOwner(hash: string, event: StoredEvent): Promise<StoredEvent | null> {
      const where = [{ field: 'hash', op: 'eq' as const, value: hash }]
      const [owner] = await readModel.find('tokens', { where, order: 'any', limit: 1 })
      if (!owner) return null
      const first = await firstEvent(tokenStream(owner.id))
      return first && first.position > event.position ? first : null
    },
  }

  /** Undefined where the first event is damaged: nothing shows that this token came later, so it keeps the hash. */
  async function firstEvent(stream: string): Promise<StoredEvent | undefined> {
    try {
      const [first] = await store.readStream(stream, 0, 1)
      return first
    } catch (error) {
      if (error instanceof DamagedError) return undefined
      throw error
    }
  }
}
