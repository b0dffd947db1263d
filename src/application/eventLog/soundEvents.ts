import { genesis, isLinked, storedChain } from '../../domain/chain.ts'
import { MissingEventError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { tokenStream } from '../../domain/streams.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { readPastDamage } from './pastDamage.ts'
import { notSound, type TokenEvent, toTokenEvent } from './tokenStream.ts'

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

/** As much of a token's stream as can be trusted, and what is wrong with the rest. */
export async function readSoundEvents(store: EventStore, tokenId: string): Promise<SoundEvents> {
  const stream = tokenStream(tokenId)
  const events: TokenEvent[] = []
  const flaws: Flaw[] = []
  let next = 0
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

  for await (const { events: page, damage, revision, isGivenUp } of readPastDamage(store, stream, 0)) {
    for (const stored of page) take(stored)
    if (isGivenUp) note(revision, revision, 'not looked for: too much before it is damaged')
    if (!damage) continue
    note(revision, revision, damage instanceof MissingEventError ? 'missing' : 'cannot be read')
    chain = null
    next = revision + 1
  }
  return { events, flaws }
}

/** @param previous null: not known */
function flawOf(stored: StoredEvent, previous: string | null): string | null {
  if (stored.metadata === null) return 'cannot be read'
  if (previous === null) return 'cannot be checked, since what it follows is missing or cannot be read'
  if (!isLinked(previous, stored)) return 'not what was written: altered, inserted, or moved here'
  return notSound(stored)
}
