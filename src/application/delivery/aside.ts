import type { HistoryDocument } from '../../../projections/tokenHistory.ts'
import { iso } from '../ports/clock.ts'
import type { Delivered } from './outbox.ts'
import { pauseAfter } from './retry.ts'

/** A token of which an event was not taken. */
export type Aside = Delivered['aside'][number] & {
  /** The position of its last event that was passed over in the log. */
  passedOver: string
  /** Has it failed while nothing else was taken either? Then it is tried again as soon as something is taken. */
  hasFailedWithOthers: boolean
  /** Is it tried before its time? */
  isEarly: boolean
}

/** Why an event was not taken. */
export interface Failure {
  reason: string
  /** Whoever is told asks for a pause, in milliseconds, before anything else. */
  pauseMs?: number
  /** For the log. */
  err?: unknown
}

/** An event that was not tried yet is due at once. */
const untried = (revision: number, at: string) => ({
  revision,
  at,
  attempts: 0,
  since: null,
  nextAt: at,
  reason: '',
  isEarly: false,
})

/** @param queue the event that is put aside, and those of its token that have come behind it */
export const newAside = (queue: readonly HistoryDocument[], event: HistoryDocument): Aside => ({
  tokenId: event.tokenId,
  ...untried(event.revision, event.at),
  waiting: queue.length,
  passedOver: (queue.at(-1) ?? event).position,
  hasFailedWithOthers: false,
})

export const comeTo = (aside: Aside, revision: number, at: string): void =>
  void Object.assign(aside, untried(revision, at))

/** @returns whether it is tried again */
export function failedAgain(
  aside: Aside,
  { reason, pauseMs }: Failure,
  now: number,
  random: () => number,
): boolean {
  aside.reason = reason
  // A try before its time changes nothing about the others.
  const wasEarly = aside.isEarly && Date.parse(aside.nextAt) > now
  aside.isEarly = false
  if (wasEarly) return true
  aside.attempts++
  aside.since ??= iso(now)
  const pause = pauseAfter(aside.attempts, now - Date.parse(aside.since), random, pauseMs)
  if (pause !== null) aside.nextAt = iso(now + pause)
  return pause !== null
}

/** @param position where the events behind it begin in the log */
export const readAside = (stored: Delivered['aside'][number], position: string): Aside => ({
  ...stored,
  passedOver: position,
  hasFailedWithOthers: true,
  isEarly: false,
})

export function storedAside(aside: Aside): Delivered['aside'][number] {
  const { tokenId, revision, at, waiting, attempts, since, nextAt, reason } = aside
  return { tokenId, revision, at, waiting, attempts, since, nextAt, reason }
}
