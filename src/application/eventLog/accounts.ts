import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { isOfToken } from '../../domain/streams.ts'
import type { EventStore } from '../ports/eventStore.ts'

/** For how many tokens it is remembered whose they are. An event of another one costs a read of its first event. */
const REMEMBERED_TOKENS = 10_000

/** The same events; those of tokens' lives say whose token it is. Fails as `readStream` does, but for damage. */
export type WithAccounts = (events: readonly StoredEvent[]) => Promise<StoredEvent[]>

/** Only the first event of a token's stream says whose the token is. */
export function createAccounts(store: Pick<EventStore, 'readStream'>): WithAccounts {
  const accounts = new Map<string, string | null>()

  function remember(stream: string, accountId: string | null): string | null {
    if (accounts.size >= REMEMBERED_TOKENS) {
      for (const oldest of accounts.keys()) {
        accounts.delete(oldest)
        break
      }
    }
    accounts.set(stream, accountId)
    return accountId
  }

  /** Null where the first event cannot be read, since nothing else says it. */
  async function look(stream: string): Promise<string | null> {
    try {
      const [first] = await store.readStream(stream, 0, 1)
      return remember(stream, first ? accountIn(first) : null)
    } catch (error) {
      if (error instanceof DamagedError) return null
      throw error
    }
  }

  function accountOf(event: StoredEvent): string | null | Promise<string | null> {
    if (event.revision === 0) return remember(event.stream, accountIn(event))
    return accounts.get(event.stream) ?? look(event.stream)
  }

  return async (events) => {
    const known: StoredEvent[] = []
    for (const event of events) {
      if (!isOfToken(event)) {
        known.push(event)
        continue
      }
      const found = accountOf(event)
      const accountId = found instanceof Promise ? await found : found
      known.push({ ...event, accountId })
    }
    return known
  }
}

function accountIn({ data }: StoredEvent): string | null {
  const { accountId } = (data ?? {}) as { accountId?: unknown }
  return typeof accountId === 'string' ? accountId : null
}
