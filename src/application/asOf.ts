import { type HistoryDocument, tokenHistory } from '../../projections/tokenHistory.ts'
import { DamagedError, Refusal } from '../domain/errors.ts'
import { tokenIdOf } from '../domain/events.ts'
import { parseTime } from '../domain/rules.ts'
import {
  type ExistingToken,
  evolve,
  initialState,
  statusAt,
  type TokenState,
  type TokenStatus,
} from '../domain/token.ts'
import { readSoundEvents, type TokenEvent } from './load.ts'
import type { EventStore } from './ports.ts'

/** A moment in a token's life: an RFC 3339 time in UTC with milliseconds, or a revision of its stream. */
export type Moment = { time: string } | { revision: number }

export type AsOf =
  | {
      found: true
      token: ExistingToken
      /** By the clock of `at`, not of now. */
      status: TokenStatus
      /** The time asked for, or that of the event with the revision asked for. */
      at: string
      /** The events up to then. */
      events: readonly TokenEvent[]
    }
  | { found: false; why: 'no such token' | 'not created yet' | 'no such revision' }

export type FoundThen = Extract<AsOf, { found: true }>

/**
 * A token of the past, from its events.
 * @param seen the newest revision that the read model shows
 * @throws Refusal (not_found) where there was none then, (token_damaged) where only events from a damaged one on would
 *   say; DamagedError where the events end before `seen`
 */
export type TokenAt = (tokenId: string, seen: number, moment: Moment) => Promise<FoundThen>

export const createTokenAt =
  (store: EventStore): TokenAt =>
  async (tokenId, seen, moment) => {
    const { events, damage } = await readSoundEvents(store, tokenId)
    if (damage && !isBehind(events, moment))
      throw new Refusal('token_damaged', 'Its history is damaged: what it was then cannot be told.')
    if (!damage && events.length <= seen) throw new DamagedError(`token ${tokenId} has lost events: ${seen}`)
    const then = asOf(events, moment)
    if (!then.found) throw new Refusal('not_found', missingText(then.why))
    return then
  }

/** @throws Refusal for text that is neither a revision nor a time */
export function askedMoment(text: string): Moment {
  const moment = parseMoment(text)
  if (moment) return moment
  const message = 'must be an RFC 3339 time or a revision'
  throw new Refusal('validation_failed', 'The input is not valid.', [{ pointer: '?at', message }])
}

export function missingText(why: Extract<AsOf, { found: false }>['why']): string {
  switch (why) {
    case 'no such token':
      return 'There is no such token.'
    case 'no such revision':
      return 'The token has no such revision.'
    case 'not created yet':
      return 'The token did not exist yet.'
  }
}

/** `17` is a revision, RFC 3339 text a time; null for anything else. */
export function parseMoment(text: string): Moment | null {
  if (/^\d{1,9}$/.test(text)) return { revision: Number(text) }
  const time = parseTime(text)
  return time === null ? null : { time }
}

/**
 * The token as it was: the fold of its events up to a moment, that moment's own events included.
 * @param events the whole stream, oldest first, as `readTokenEvents` gives it
 */
export function asOf(events: readonly TokenEvent[], moment: Moment): AsOf {
  if (events.length === 0) return { found: false, why: 'no such token' }
  if ('revision' in moment && moment.revision >= events.length)
    return { found: false, why: 'no such revision' }
  const upTo = 'revision' in moment ? events.slice(0, moment.revision + 1) : before(events, moment.time)
  const token = upTo.reduce<TokenState>(
    (state, { known }) => (known ? evolve(state, known) : state),
    initialState,
  )
  if (token.status === 'none') return { found: false, why: 'not created yet' }
  const at = 'time' in moment ? moment.time : timeOf(upTo.at(-1) as TokenEvent)
  return { found: true, token, status: statusAt(token, at), at, events: upTo }
}

/** The events as the history shows them. Of a type this version does not know the data stay hidden. */
export function historyOf(events: readonly TokenEvent[]): HistoryDocument[] {
  return events.map((event) => {
    const { stored, known } = event
    const [change] = known ? tokenHistory.project(known) : []
    if (change?.kind === 'insert') return { id: change.id, ...change.fields } as unknown as HistoryDocument
    const { actor, requestId } = stored.metadata as Pick<HistoryDocument, 'actor' | 'requestId'>
    const { id, type, revision, stream } = stored
    return { id, tokenId: tokenIdOf(stream), type, revision, at: timeOf(event), actor, requestId, data: {} }
  })
}

/** Is an event known that comes after the moment? Then no later one says more of it. */
function isBehind(events: readonly TokenEvent[], moment: Moment): boolean {
  if ('revision' in moment) return moment.revision < events.length
  const last = events.at(-1)
  return last !== undefined && timeOf(last) > moment.time
}

/** A stream's times never go back, so the events up to a time are its beginning. */
function before(events: readonly TokenEvent[], time: string): readonly TokenEvent[] {
  const after = events.findIndex((event) => timeOf(event) > time)
  return after < 0 ? events : events.slice(0, after)
}

const timeOf = ({ stored }: TokenEvent): string => (stored.metadata as { at: string }).at
