import { genesis, isLinked, storedChain } from '../domain/chain.ts'
import { DamagedError } from '../domain/errors.ts'
import { type LifecycleEvent, type StoredEvent, tokenStream } from '../domain/events.ts'
import { evolve, initialState, type TokenState } from '../domain/token.ts'
import { upcast } from '../domain/upcast.ts'
import type { EventStore } from './ports.ts'

/** One event of a token's stream, its link checked. `known` is null for a type this version does not know. */
export interface TokenEvent {
  stored: StoredEvent
  known: LifecycleEvent | null
}

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
  const { events: read, chain } = await readTokenEvents(store, tokenId)
  const events = read.flatMap(({ known }) => known ?? [])
  return { state: events.reduce(evolve, initialState), events, revision: read.length - 1, chain }
}

/**
 * Every event of a token's stream, oldest first, each checked against the one before it; none for an unknown token.
 * @throws DamagedError as `loadToken`
 */
export async function readTokenEvents(
  store: EventStore,
  tokenId: string,
): Promise<{ events: TokenEvent[]; chain: string }> {
  const stream = tokenStream(tokenId)
  const events: TokenEvent[] = []
  let chain = genesis(stream)
  for (const [index, stored] of (await store.readStream(stream)).entries()) {
    verifyLink(stored, index, chain)
    chain = storedChain(stored)
    const read = upcast(stored)
    if (read.kind === 'unknown-version') {
      throw new DamagedError(`${at(stored)} is a ${stored.type} of unknown version ${String(read.version)}`)
    }
    events.push({ stored, known: read.kind === 'event' ? (read.event as LifecycleEvent) : null })
  }
  return { events, chain }
}

function verifyLink(event: StoredEvent, revision: number, chain: string): void {
  if (event.revision !== revision) throw new DamagedError(`an event is missing before ${at(event)}`)
  if (!isLinked(chain, event)) throw new DamagedError(`${at(event)} is not what was written`)
}

const at = (event: StoredEvent): string => `revision ${event.revision} of ${event.stream}`
