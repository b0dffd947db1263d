import type { TokenDocument } from '../../../projections/tokens.ts'
import { genesis, isLinked, storedChain } from '../../domain/chain.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { Actor, LifecycleEvent, StoredEvent } from '../../domain/events.ts'
import { tokenStream } from '../../domain/streams.ts'
import { type ExistingToken, evolve, initialState, type TokenState } from '../../domain/token.ts'
import { notUnderstood, upcast } from '../../domain/upcast.ts'
import { flawOf } from './eventCheck.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { turn } from '../scheduling/turns.ts'

/**
 * An event of a token's stream whose link was checked. `known` is null for an informational event of an unknown type.
 */
export interface TokenEvent {
  stored: StoredEvent
  known: LifecycleEvent | null
}

/** What a token is after an event of its stream. */
export interface Folded {
  state: TokenState
  /** The revision of that event, of whatever type; -1 before the first one. */
  revision: number
  /** The link of that event, from which the next one has to follow. */
  chain: string
}

export interface LoadedToken extends Folded {
  /** When the stream's newest event was written. */
  at: string | null
}

/** A token before its first event. */
export const unborn = (tokenId: string): LoadedToken => ({
  state: initialState,
  revision: -1,
  chain: genesis(tokenStream(tokenId)),
  at: null,
})

/** The state of a token as the read model has it. */
export function projected(token: TokenDocument): Folded & { state: ExistingToken } {
  const { id: tokenId, accountId, name, description, metadata, allowedIps, rotatable, scopes } = token
  const { createdBy, createdAt, updatedAt, expiresAt, noticeAt, revokedAt, revision, chain } = token
  const identity = { tokenId, accountId, createdBy: createdBy as Actor, createdAt, ...secretsOf(token) }
  const described = { name, description, metadata, allowedIps, rotatable }
  const facts = { ...identity, ...described, scopes, expiresAt, noticeAt, updatedAt, revision }
  const state: ExistingToken =
    revokedAt === null
      ? { status: 'active', revokedAt, ...facts }
      : { status: 'revoked', revokedAt, ...facts }
  return { state, revision, chain }
}

/** A token as the read model shows it, with what no event of its stream says. */
export type SeenToken = ExistingToken & { lastAccessed: string | null; stopped?: string }

export const seenToken = (token: TokenDocument): SeenToken => ({
  ...projected(token).state,
  lastAccessed: token.lastAccessed ?? null,
  ...(token.stopped === undefined ? {} : { stopped: token.stopped }),
})

/** The secrets of a token as the read model has them. */
export function secretsOf(token: TokenDocument): Pick<ExistingToken, 'secret' | 'rotation'> {
  const { hash, hashKeyId, secret: named, rotation = null, newerHash, newerHashKeyId } = token
  const secret = { ...named, hash, hashKeyId }
  if (!rotation) return { secret, rotation: null }
  const { revision, hint, ...how } = rotation
  const newer = { revision, hint, hash: newerHash ?? '', hashKeyId: newerHashKeyId ?? '' }
  const { activatedAt = null, retiresAt = null, newerIsUsed: isUsed = false } = token
  const startedBy = how.startedBy as Actor
  return { secret, rotation: { secret: newer, ...how, startedBy, activatedAt, retiresAt, isUsed } }
}

/** As `evolve`, but also takes an informational event of an unknown type, which changes nothing but the revision. */
export function fold(state: TokenState, { stored, known }: TokenEvent): TokenState {
  if (known) return evolve(state, known)
  return state.status === 'none' ? state : { ...state, revision: stored.revision }
}

/**
 * Folds the events of a token's stream that come after `from`, and checks every link.
 * @param take gets those events, some at a time
 * @throws DamagedError an event was altered or inserted, is missing, or cannot be understood by this code; or the
 *   stream does not have the event of `from`, so that `from` was folded from another log
 */
export async function loadOn(
  store: EventStore,
  tokenId: string,
  from: Folded,
  take: (events: TokenEvent[]) => Promise<void> = async () => {},
): Promise<LoadedToken> {
  let { state, revision, chain } = from
  let at: string | null = null
  for await (const page of checkedPages(store, tokenStream(tokenId), from)) {
    const events = page.filter((stored) => stored.revision > from.revision).map(toTokenEvent)
    state = events.reduce(fold, state)
    if (events.length > 0) await take(events)
    const last = page.at(-1) as StoredEvent
    ;({ revision } = last)
    chain = storedChain(last)
    at = timeOf(last)
  }
  return { state, revision, chain, at }
}

/**
 * Every event of a token's stream, oldest first, some at a time, each checked against the one before it; none for an
 * unknown token.
 * @throws DamagedError as `loadOn`, after the sound events before it
 */
export async function* tokenEvents(store: EventStore, tokenId: string): AsyncGenerator<TokenEvent[], void> {
  for await (const page of checkedPages(store, tokenStream(tokenId), unborn(tokenId))) {
    yield page.map(toTokenEvent)
  }
}

/** As `tokenEvents`, all in one array. A long history takes much memory. */
export async function readTokenEvents(store: EventStore, tokenId: string): Promise<TokenEvent[]> {
  const all: TokenEvent[] = []
  for await (const events of tokenEvents(store, tokenId)) all.push(...events)
  return all
}

/** The first event of a token; null for an unknown token. @throws DamagedError as `loadOn` */
export async function firstEvent(store: EventStore, tokenId: string): Promise<LifecycleEvent | null> {
  const stream = tokenStream(tokenId)
  const [first] = await store.readStream(stream, 0, 1)
  if (!first) return null
  const flaw = brokenLink(first, 0, genesis(stream)) ?? unsound(first)
  if (flaw !== null) throw new DamagedError(flaw)
  return toTokenEvent(first).known
}

export const timeOf = ({ metadata }: StoredEvent): string => (metadata as { at: string }).at

/** Events to a page: few enough for a few milliseconds of work. Most streams end within the first page. */
const [FIRST_PAGE, PAGE] = [10, 50]

/**
 * The events of a stream from the one at `from` on, including that one. Its own link is checked as well, so one more
 * event before it is read.
 * @throws DamagedError once the sound events before the damage have been yielded
 */
async function* checkedPages(
  store: EventStore,
  stream: string,
  from: Pick<Folded, 'revision' | 'chain'>,
): AsyncGenerator<StoredEvent[], void, undefined> {
  const start = Math.max(from.revision - 1, 0)
  let chain = start === 0 ? genesis(stream) : null
  let next = start

  function flawOfNext(stored: StoredEvent): string | null {
    const broken = brokenLink(stored, next, chain)
    if (broken !== null) return broken
    if (stored.revision > from.revision) return unsound(stored)
    return stored.revision === from.revision && storedChain(stored) !== from.chain
      ? `${at(stored)} is not the one that the read model was filled from`
      : null
  }

  for (let size = FIRST_PAGE; size > 0; ) {
    const page = await readSome(store, stream, next, size)
    let { damage } = page
    const sound: StoredEvent[] = []
    for (const stored of page.events) {
      const flaw = flawOfNext(stored)
      if (flaw !== null) {
        damage = new DamagedError(flaw)
        break
      }
      chain = storedChain(stored)
      next++
      if (stored.revision >= from.revision) sound.push(stored)
    }
    if (sound.length > 0) yield sound
    if (damage) throw damage
    size = page.events.length < size ? 0 : PAGE
    if (size > 0) await turn()
  }
  if (next <= from.revision)
    throw new DamagedError(`${stream} has lost events: ${next - 1} of ${from.revision}`)
}

interface Some {
  events: StoredEvent[]
  /** The error if the store itself finds the event behind these damaged. */
  damage: DamagedError | null
}

/**
 * If a piece has a damaged event in it, a store gives none of it. So the events before the damage are read one by one.
 */
export async function readSome(
  store: EventStore,
  stream: string,
  from: number,
  limit: number,
): Promise<Some> {
  try {
    return { events: await store.readStream(stream, from, limit), damage: null }
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error
    if (limit === 1) return { events: [], damage: error }
    const first = await readSome(store, stream, from, 1)
    if (first.damage || first.events.length === 0) return { events: [], damage: first.damage ?? error }
    const rest = await readSome(store, stream, from + 1, limit - 1)
    return { events: [...first.events, ...rest.events], damage: rest.damage }
  }
}

/** @param previous the link of the event before; null if it is not known */
function brokenLink(event: StoredEvent, revision: number, previous: string | null): string | null {
  if (event.revision !== revision) return `an event is missing before ${at(event)}`
  return previous === null || isLinked(previous, event) ? null : `${at(event)} is not what was written`
}

/** Says if this code cannot understand the event, or if it holds what no schema allows; else null. */
export function notSound(stored: StoredEvent): string | null {
  const read = upcast(stored)
  const reason = notUnderstood(stored, read)
  if (reason !== null) return `of an ${reason}`
  return read.kind === 'event' ? flawOf(read.event) : null
}

function unsound(stored: StoredEvent): string | null {
  const flaw = notSound(stored)
  return flaw && `${at(stored)}: ${flaw}`
}

export function toTokenEvent(stored: StoredEvent): TokenEvent {
  const read = upcast(stored)
  return { stored, known: read.kind === 'event' ? (read.event as LifecycleEvent) : null }
}

const at = (event: StoredEvent): string => `revision ${event.revision} of ${event.stream}`
