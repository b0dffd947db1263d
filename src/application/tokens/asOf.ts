import { type HistoryDocument, tokenHistory } from '../../../projections/tokenHistory.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { DamagedError, Refusal } from '../../domain/errors.ts'
import { tokenIdOf } from '../../domain/streams.ts'
import { parseTime } from '../../domain/rules.ts'
import {
  type ExistingToken,
  initialState,
  statusAt,
  type TokenState,
  type TokenStatus,
} from '../../domain/token.ts'
import { fold, loadOn, projected, timeOf, type TokenEvent, tokenEvents } from '../eventLog/tokenStream.ts'
import type { SoundEvents } from '../eventLog/soundEvents.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Logger } from '../ports/telemetry.ts'
import { turn } from '../scheduling/turns.ts'

/** A moment in a token's life: an RFC 3339 time in UTC with milliseconds, or a revision of its stream. */
export type Moment = { time: string } | { revision: number }

interface Then {
  found: true
  token: ExistingToken
  /** At the time `at`, not now. */
  status: TokenStatus
  /** The time that was asked for, or the time of the event with the revision that was asked for. */
  at: string
}

type NotThen = { found: false; why: 'no such token' | 'not created yet' | 'no such revision' }

/** `events` are those up to that moment. */
export type FoundThen = Then & { events: readonly TokenEvent[] }
export type AsOf = FoundThen | NotThen

/**
 * A token as it was, from its events. The time this takes grows with them, but others do not wait for it.
 * @param seen the token as the read model shows it
 * @throws Refusal (not_found) if there was no such token then, (token_damaged) if only a damaged event, or one behind
 *   it, would say; DamagedError if the stream ends before `seen`
 */
export type TokenAt = (seen: TokenDocument, moment: Moment) => Promise<Then>

export const createTokenAt =
  (store: EventStore, log: Pick<Logger, 'error'>): TokenAt =>
  async (seen, moment) => {
    // Of many that ask at once, each begins after the one before.
    await turn()
    const unreachable = await loadOn(store, seen.id, projected(seen)).then(() => null, damageIn)
    const upTo = foldUpTo(moment)
    try {
      for await (const events of tokenEvents(store, seen.id)) {
        if (!events.every(upTo.take) && !unreachable) break
      }
      // All events that are there are sound. So the stream lacks some, or it is not the one that the read model was
      // filled from.
      if (unreachable && seen.stopped === undefined) throw unreachable
    } catch (error) {
      const damage = damageIn(error)
      if (damage === unreachable && seen.stopped === undefined) throw error
      log.error({ err: damage, tokenId: seen.id }, 'the history of a token is damaged')
      if (!upTo.isComplete())
        throw new Refusal('token_damaged', 'Its history is damaged: what it was then cannot be told.')
    }
    const then = upTo.result()
    if (!then.found) throw new Refusal('not_found', missingText(then.why))
    return then
  }

/** @throws the error itself if it is not about damage */
function damageIn(error: unknown): DamagedError {
  if (error instanceof DamagedError) return error
  throw error
}

/** @throws Refusal for text that is neither a revision nor a time */
export function askedMoment(text: string): Moment {
  const moment = parseMoment(text)
  if (moment) return moment
  const message = 'must be an RFC 3339 time or a revision'
  throw new Refusal('validation_failed', 'The input is not valid.', [{ path: ['at'], message }])
}

export function missingText(why: NotThen['why']): string {
  switch (why) {
    case 'no such token':
      return 'There is no such token.'
    case 'no such revision':
      return 'The token has no such revision.'
    case 'not created yet':
      return 'The token did not exist yet.'
  }
}

/** Parses `17` as a revision, and RFC 3339 text as a time; null for anything else. */
export function parseMoment(text: string): Moment | null {
  if (/^\d{1,9}$/.test(text)) return { revision: Number(text) }
  const time = parseTime(text)
  return time === null ? null : { time }
}

/**
 * The token as it was: the fold of its events up to a moment, events of that moment included.
 * @param events the whole stream, oldest first, as `readTokenEvents` gives it
 */
export function asOf(events: readonly TokenEvent[], moment: Moment): AsOf {
  const upTo = foldUpTo(moment)
  const beyond = events.findIndex((event) => !upTo.take(event))
  const then = upTo.result()
  return then.found ? { ...then, events: beyond < 0 ? events : events.slice(0, beyond) } : then
}

/**
 * The token as it was, from a history that may be damaged.
 * @returns null if only a damaged part would say
 */
export function asOfSound({ events, flaws }: SoundEvents, moment: Moment): AsOf | null {
  const [flaw] = flaws
  if (!flaw) return asOf(events, moment)
  const upTo = foldUpTo(moment)
  const before = events.filter(({ stored }) => stored.revision < flaw.from)
  for (const event of before) if (!upTo.take(event)) break
  return upTo.isComplete() ? asOf(before, moment) : null
}

/** Folds events in their order. The times in a stream never go back, so the events up to a time are the first ones. */
function foldUpTo(moment: Moment) {
  let state: TokenState = initialState
  let [isEmpty, isPast] = [true, false]
  let last: TokenEvent | null = null

  const isWithin = (event: TokenEvent): boolean =>
    'revision' in moment ? event.stored.revision <= moment.revision : timeOf(event.stored) <= moment.time

  return {
    /** @returns false for an event behind the moment. It is not folded, and no event after it has to be tried */
    take(event: TokenEvent): boolean {
      isEmpty = false
      isPast = !isWithin(event)
      if (isPast) return false
      state = fold(state, event)
      last = event
      return true
    },
    /** Is it certain that no later event belongs to the moment? */
    isComplete: (): boolean => isPast || ('revision' in moment && last?.stored.revision === moment.revision),
    result(): Then | NotThen {
      if (isEmpty) return { found: false, why: 'no such token' }
      if ('revision' in moment && last?.stored.revision !== moment.revision)
        return { found: false, why: 'no such revision' }
      if (!last || state.status === 'none') return { found: false, why: 'not created yet' }
      const at = 'time' in moment ? moment.time : timeOf(last.stored)
      return { found: true, token: state, status: statusAt(state, at), at }
    },
  }
}

/** The events as the history shows them. The data of a type that this code does not know are left out. */
export function historyOf(events: readonly TokenEvent[]): HistoryDocument[] {
  return events.map((event) => {
    const { stored, known } = event
    const [change] = known ? tokenHistory.project(known) : []
    if (change?.kind === 'insert') return { id: change.id, ...change.fields } as unknown as HistoryDocument
    const { actor, requestId } = stored.metadata as Pick<HistoryDocument, 'actor' | 'requestId'>
    const { id, type, revision, position, accountId = null } = stored
    const place = { tokenId: tokenIdOf(stored.stream), accountId, revision, position }
    return { id, ...place, type, at: timeOf(stored), actor, requestId, data: {} }
  })
}
