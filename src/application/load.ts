import { genesis, isLinked, storedChain } from '../domain/chain.ts'
import { DamagedError } from '../domain/errors.ts'
import { type LifecycleEvent, type StoredEvent, tokenStream } from '../domain/events.ts'
import { evolve, initialState, type TokenState } from '../domain/token.ts'
import { upcast } from '../domain/upcast.ts'
import { flawOf } from './eventCheck.ts'
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
  const { events, chain, damage } = await readSoundEvents(store, tokenId)
  if (damage) throw damage
  return { events, chain }
}

/** The same up to the first event that is not sound, and what is wrong with that. */
export async function readSoundEvents(
  store: EventStore,
  tokenId: string,
): Promise<{ events: TokenEvent[]; chain: string; damage: DamagedError | null }> {
  const stream = tokenStream(tokenId)
  const events: TokenEvent[] = []
  let chain = genesis(stream)
  const { readable, damage } = await readReadable(store, stream)
  for (const [index, stored] of readable.entries()) {
    const what = flawIn(stored, index, chain)
    if (what !== null) return { events, chain, damage: new DamagedError(what) }
    chain = storedChain(stored)
    const read = upcast(stored)
    events.push({ stored, known: read.kind === 'event' ? (read.event as LifecycleEvent) : null })
  }
  return { events, chain, damage }
}

/** A store gives nothing of what it finds damaged: then the events before that are asked for one by one. */
async function readReadable(
  store: EventStore,
  stream: string,
): Promise<{ readable: StoredEvent[]; damage: DamagedError | null }> {
  const readable: StoredEvent[] = []
  try {
    return { readable: await store.readStream(stream), damage: null }
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error
    try {
      for (;;) {
        const [next] = await store.readStream(stream, readable.length, 1)
        if (!next) break
        readable.push(next)
      }
    } catch (later) {
      if (!(later instanceof DamagedError)) throw later
    }
    return { readable, damage: error }
  }
}

function flawIn(event: StoredEvent, revision: number, chain: string): string | null {
  if (event.revision !== revision) return `an event is missing before ${at(event)}`
  if (!isLinked(chain, event)) return `${at(event)} is not what was written`
  const read = upcast(event)
  if (read.kind === 'unknown-version')
    return `${at(event)} is a ${event.type} of unknown version ${String(read.version)}`
  const flaw = read.kind === 'event' ? flawOf(read.event) : null
  return flaw && `${at(event)}: ${flaw}`
}

const at = (event: StoredEvent): string => `revision ${event.revision} of ${event.stream}`
