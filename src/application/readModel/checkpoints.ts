import type { Projection } from '../../../projections/projection.ts'
import { storedChain } from '../../domain/chain.ts'
import type { Checkpoint, Place, Checkpoints } from '../ports/checkpoints.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { isSignal, USAGE_STREAM } from '../../domain/streams.ts'

export async function checkpointsOf(
  filled: { checkpoint(projection: Projection): Promise<Checkpoint | null> },
  projections: readonly Projection[],
): Promise<Checkpoints> {
  const checkpoints = projections.map(async (one) => [one, await filled.checkpoint(one)] as const)
  return new Map(await Promise.all(checkpoints))
}

/** The checkpoints once these events have been applied. A checkpoint that is further on stays where it is. */
export function advance(checkpoints: Checkpoints, events: readonly StoredEvent[]): Checkpoints {
  const last = events.at(-1)
  if (!last) return checkpoints
  const kept = events.findLast(isKept)
  const next = (at: Checkpoint | null): Checkpoint =>
    at !== null && at.position >= last.position
      ? at
      : { ...placeOf(last), kept: kept ? placeOf(kept) : (at?.kept ?? null) }
  return new Map([...checkpoints].map(([one, at]) => [one, next(at)]))
}

/** Where the log has to be read from, so that no projection misses an event; null for the start of the log. */
export const lowestCheckpoint = (checkpoints: Checkpoints): Checkpoint | null =>
  [...checkpoints.values()].reduce((a, b) =>
    a === null || b === null ? null : a.position < b.position ? a : b,
  )

export const placeOf = (event: StoredEvent): Place => ({
  position: event.position,
  id: event.id,
  link: storedChain(event),
})

/** Is the event of a stream that is never shortened? Only those of usage are, by retention, and those of signals. */
export const isKept = ({ stream }: Pick<StoredEvent, 'stream'>): boolean =>
  !stream.startsWith(USAGE_STREAM) && !isSignal({ stream })
