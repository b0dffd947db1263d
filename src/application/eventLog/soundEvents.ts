import { genesis, isLinked, storedChain } from '../../domain/chain.ts'
import { MissingEventError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { tokenStream } from '../../domain/streams.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { turn } from '../scheduling/turns.ts'
import { notSound, readSome, type TokenEvent, toTokenEvent } from './tokenStream.ts'

/** A part of a stream that is missing, or is not what was written. */
export interface Flaw {
  /** Revisions, both inclusive. */
  from: number
  to: number
  what: string
}

export interface SoundEvents {
  /** Each follows from the event before it, as that is stored. */
  events: TokenEvent[]
  /** By revision. What a token is can be told of the revisions before the first one. */
  flaws: Flaw[]
}

const PAGE = 50
/** As many in a row are passed over: where a store cannot say any more where a stream ends, it has no end. */
const MOST_DAMAGED = 100

/** As much of a token's stream as can be trusted, and what is wrong with the rest. */
export async function readSoundEvents(store: EventStore, tokenId: string): Promise<SoundEvents> {
  const stream = tokenStream(tokenId)
  const events: TokenEvent[] = []
  const flaws: Flaw[] = []
  let [next, damaged] = [0, 0]
  /** The link of the event before, null where that cannot be told. */
  let chain: string | null = genesis(stream)

  function note(from: number, to: number, what: string): void {
    const last = flaws.at(-1)
    if (last?.what === what && last.to === from - 1) last.to = to
    else flaws.push({ from, to, what })
  }

  function take(stored: StoredEvent): void {
    const { revision } = stored
    if (revision > next) {
      note(next, revision - 1, 'missing')
      chain = null
    }
    const what = flawOf(stored, chain)
    if (what === null) events.push(toTokenEvent(stored))
    else note(revision, revision, what)
    chain = stored.metadata === null ? null : storedChain(stored)
    next = revision + 1
  }

  while (damaged < MOST_DAMAGED) {
    const size = damaged === 0 ? PAGE : 1
    const page = await readSome(store, stream, next, size)
    for (const stored of page.events) take(stored)
    if (page.damage) {
      note(next, next, page.damage instanceof MissingEventError ? 'missing' : 'cannot be read')
      chain = null
      next++
    } else if (page.events.length < size) return { events, flaws }
    damaged = page.damage ? damaged + 1 : 0
    await turn()
  }
  note(next, next, 'not looked for: too much before it is damaged')
  return { events, flaws }
}

/** @param previous null: not known */
function flawOf(stored: StoredEvent, previous: string | null): string | null {
  if (stored.metadata === null) return 'cannot be read'
  if (previous === null) return 'cannot be checked, since what it follows is missing or cannot be read'
  if (!isLinked(previous, stored)) return 'not what was written: altered, inserted, or moved here'
  return notSound(stored)
}
