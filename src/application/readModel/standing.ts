import type { Projection } from '../../../projections/projection.ts'
import { storedChain } from '../../domain/chain.ts'
import { type StoredEvent, USAGE_STREAM } from '../../domain/events.ts'

/** An event and where it stands in the log. Its id and its link tell whether what stands there later is still it. */
export interface Place {
  position: string
  id: string
  link: string
}

/** How far documents have come: up to this event, none is missing from them. */
export interface Checkpoint extends Place {
  /** The last event up to there that retention never takes: itself, or one before it. Null if there is none. */
  kept: Place | null
}

/** How far each projection has come; null: nothing yet. */
export type Standing = ReadonlyMap<Projection, Checkpoint | null>

/** A piece of the log, applied by whoever follows it. */
export interface Step {
  /** What the piece follows on: documents that have not come so far would miss something. */
  from: Standing
  /** Where each projection stands behind it. */
  to: Standing
}

export async function standingOf(
  filled: { checkpoint(projection: Projection): Promise<Checkpoint | null> },
  projections: readonly Projection[],
): Promise<Standing> {
  const checkpoints = projections.map(async (one) => [one, await filled.checkpoint(one)] as const)
  return new Map(await Promise.all(checkpoints))
}

/** Where projections stand once they have seen these events as well. One that was further on stays where it is. */
export function advanced(standing: Standing, events: readonly StoredEvent[]): Standing {
  const last = events.at(-1)
  if (!last) return standing
  const kept = events.findLast(isKept)
  const next = (at: Checkpoint | null): Checkpoint =>
    at !== null && at.position >= last.position
      ? at
      : { ...placeOf(last), kept: kept ? placeOf(kept) : (at?.kept ?? null) }
  return new Map([...standing].map(([one, at]) => [one, next(at)]))
}

/** From where the log has to be read on, so that no projection misses anything. */
export const slowest = (standing: Standing): Checkpoint | null =>
  [...standing.values()].reduce((a, b) => (a === null || b === null ? null : a.position < b.position ? a : b))

export const placeOf = (event: StoredEvent): Place => ({
  position: event.position,
  id: event.id,
  link: storedChain(event),
})

/** Retention takes events of usage only. */
export const isKept = ({ stream }: Pick<StoredEvent, 'stream'>): boolean => !stream.startsWith(USAGE_STREAM)
