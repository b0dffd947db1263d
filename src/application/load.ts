import { genesis, isLinked, storedChain } from '../domain/chain.ts'
import { DamagedError } from '../domain/errors.ts'
import { type LifecycleEvent, type StoredEvent, tokenStream } from '../domain/events.ts'
import { evolve, initialState, type TokenState } from '../domain/token.ts'
import { upcast } from '../domain/upcast.ts'
import type { EventStore } from './ports.ts'

export interface LoadedToken {
  state: TokenState
  /** Newest first is last. Unknown event types are left out. */
  events: LifecycleEvent[]
  /** Revision of the stream's newest event, of whatever type; -1 for none. */
  revision: number
  /** What the next event links to. */
  chain: string
}

/**
 * Folds a token's stream, link by link.
 * @throws DamagedError an event was altered, inserted or is missing, or is of a version this code does not know
 */
export async function loadToken(store: EventStore, tokenId: string): Promise<LoadedToken> {
  const stream = tokenStream(tokenId)
  const stored = await store.readStream(stream)
  const events: LifecycleEvent[] = []
  let state: TokenState = initialState
  let chain = genesis(stream)
  for (const [index, event] of stored.entries()) {
    verifyLink(event, index, chain)
    chain = storedChain(event)
    const read = upcast(event)
    if (read.kind === 'unknown-version') {
      throw new DamagedError(`${at(event)} is a ${event.type} of unknown version ${String(read.version)}`)
    }
    if (read.kind === 'event') {
      const known = read.event as LifecycleEvent
      events.push(known)
      state = evolve(state, known)
    }
  }
  return { state, events, revision: stored.length - 1, chain }
}

function verifyLink(event: StoredEvent, revision: number, chain: string): void {
  if (event.revision !== revision) throw new DamagedError(`an event is missing before ${at(event)}`)
  if (!isLinked(chain, event)) throw new DamagedError(`${at(event)} is not what was written`)
}

const at = (event: StoredEvent): string => `revision ${event.revision} of ${event.stream}`
