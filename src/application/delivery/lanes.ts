import type { HistoryDocument } from '../../../projections/tokenHistory.ts'
import { iso } from '../ports/clock.ts'
import { type Aside, comeTo, failedAgain, type Failure, newAside, readAside, storedAside } from './aside.ts'
import type { Delivered } from './outbox.ts'

/** One token's events, which are delivered one after the other. */
export interface Lane {
  tokenId: string
  /** Events that wait in memory. None, if the token is put aside. */
  queue: HistoryDocument[]
  isBusy: boolean
  /** Where an event has failed. All behind it wait in the read model. */
  aside: Aside | null
}

/** As many events wait in memory, and as many tokens may be aside, until nothing more is read. */
const MOST = { inMemory: 200, aside: 1_000 }
/** Of a reason so much is kept, in characters. */
const REASON = 100

export type Lanes = ReturnType<typeof createLanes>

/** Who is told what, in which order: no I/O, no clock. Times are milliseconds since 1970. */
export function createLanes(from: Delivered, random: () => number) {
  const lanes = new Map<string, Lane>()
  /** Events that were read and are not delivered, in log order, each with the position before it. */
  const unfinished = new Map<string, string>()
  let readTo = from.position
  let { lastFailure, givenUp, stopped } = from
  /** Was the last attempt a failure? Where events wait, that is assumed of a time before, of which nobody knows it. */
  let isFailing = from.aside.length > 0
  let pausedUntil = 0
  let asideCount = from.aside.length

  for (const one of from.aside) laneOf(one.tokenId).aside = readAside(one, from.position)

  function laneOf(tokenId: string): Lane {
    const known = lanes.get(tokenId)
    if (known) return known
    const lane: Lane = { tokenId, queue: [], isBusy: false, aside: null }
    lanes.set(tokenId, lane)
    return lane
  }

  function putAside(lane: Lane, event: HistoryDocument): Aside {
    lane.aside = newAside(lane.queue, event)
    for (const { position } of lane.queue) unfinished.delete(position)
    lane.queue = []
    asideCount++
    return lane.aside
  }

  /** A token that was put aside goes on with the others. */
  function caughtUp(lane: Lane): void {
    if (lane.aside) asideCount--
    lane.aside = null
  }

  /** The event of a token that was put aside is dealt with. */
  function goOn(lane: Lane, aside: Aside, event: HistoryDocument): void {
    if (event.position >= aside.passedOver) caughtUp(lane)
    else comeTo(aside, event.revision + 1, event.at)
  }

  return {
    /** Nothing more is read until something was delivered. */
    isFull: (): boolean => unfinished.size >= MOST.inMemory || asideCount >= MOST.aside,
    readTo: (): string => readTo,

    /** Takes what was read, in the order of the log. @param next the position up to which it was read */
    take(events: readonly HistoryDocument[], next: string): void {
      for (const event of events) {
        const lane = laneOf(event.tokenId)
        if (lane.aside) {
          lane.aside.passedOver = event.position
          lane.aside.waiting++
        } else {
          lane.queue.push(event)
          unfinished.set(event.position, readTo)
        }
        readTo = event.position
      }
      readTo = next
    },

    /** Lanes of which something may be delivered now, and that nobody works on. */
    *due(now: number): Generator<Lane> {
      if (stopped || now < pausedUntil) return
      for (const lane of lanes.values()) if (isDue(lane, now)) yield lane
    },

    /** When something becomes due by the clock alone. */
    nextAt(): number {
      const times = [...lanes.values()].flatMap(({ aside, isBusy }) =>
        aside && !isBusy ? [Date.parse(aside.nextAt)] : [],
      )
      return Math.max(pausedUntil, Math.min(...times))
    },

    occupy(lane: Lane): void {
      lane.isBusy = true
    },
    release(lane: Lane): void {
      lane.isBusy = false
      if (lane.queue.length === 0 && !lane.aside) lanes.delete(lane.tokenId)
    },

    /** What comes next of a token that was put aside cannot be read now. */
    postpone(lane: Lane, at: number): void {
      if (lane.aside) Object.assign(lane.aside, { nextAt: iso(at), isEarly: false })
    },
    caughtUp,

    /** Says which event of a token that was put aside comes next: some may be of types that nobody is told of. */
    comes(lane: Lane, { revision, at }: HistoryDocument): void {
      if (lane.aside) Object.assign(lane.aside, { revision, at })
    },

    delivered(lane: Lane, event: HistoryDocument): void {
      // What failed for want of the other side is tried again at once.
      if (isFailing)
        for (const { aside } of lanes.values()) if (aside?.hasFailedWithOthers) aside.isEarly = true
      isFailing = false
      if (lane.aside) {
        lane.aside.waiting = Math.max(1, lane.aside.waiting - 1)
        return goOn(lane, lane.aside, event)
      }
      lane.queue.shift()
      unfinished.delete(event.position)
    },

    /** @returns whether the event is given up */
    failed(lane: Lane, event: HistoryDocument, failure: Failure, now: number): boolean {
      const { pauseMs } = failure
      const reason = failure.reason.slice(0, REASON)
      const aside = lane.aside ?? putAside(lane, event)
      aside.hasFailedWithOthers = isFailing
      isFailing = true
      lastFailure = { at: iso(now), reason }
      if (pauseMs !== undefined) pausedUntil = Math.max(pausedUntil, now + pauseMs)
      if (failedAgain(aside, { ...failure, reason }, now, random)) return false
      givenUp++
      goOn(lane, aside, event)
      return true
    },

    /** Whoever is told wants no more. The event stays the next one of its token. */
    gone(lane: Lane, event: HistoryDocument, target: string, now: number): void {
      const aside = lane.aside ?? putAside(lane, event)
      Object.assign(aside, { reason: 'gone', nextAt: iso(now) })
      stopped = { at: iso(now), target }
      lastFailure = { at: iso(now), reason: 'gone' }
    },
    /** Whatever waits is tried again as soon as something is taken. */
    resume(): void {
      stopped = null
      isFailing = true
      for (const { aside } of lanes.values()) if (aside) aside.hasFailedWithOthers = true
    },
    stopped: () => stopped,

    state: (): Delivered => ({
      position: firstOf(unfinished.values()) ?? readTo,
      aside: [...lanes.values()].flatMap(({ aside }) => (aside ? [storedAside(aside)] : [])),
      stopped,
      lastFailure,
      givenUp,
    }),

    /** How many events wait, and the time of the oldest of them, RFC 3339; null if none does. */
    waiting: () => waitingIn(lanes.values()),
  }
}

function isDue({ aside, isBusy, queue }: Lane, now: number): boolean {
  if (isBusy) return false
  return aside ? aside.isEarly || Date.parse(aside.nextAt) <= now : queue.length > 0
}

function waitingIn(lanes: Iterable<Lane>): { events: number; oldest: string | null } {
  let events = 0
  let oldest: string | null = null
  for (const { queue, aside } of lanes) {
    events += aside ? aside.waiting : queue.length
    const at = aside?.at ?? queue[0]?.at ?? null
    if (at !== null && (oldest === null || at < oldest)) oldest = at
  }
  return { events, oldest }
}

function firstOf<T>(values: Iterable<T>): T | null {
  for (const value of values) return value
  return null
}
