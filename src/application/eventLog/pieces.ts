import type { StoredEvent } from '../../domain/events.ts'
import { weightOf } from '../../domain/usageEntries.ts'

/**
 * Cuts events into pieces that can each be applied at once: at most as heavy as `most`, or a single event.
 * @returns where each piece begins and ends
 */
export function* piecesOf(
  events: readonly StoredEvent[],
  most: number,
): Generator<[from: number, to: number], void, undefined> {
  let [from, weight] = [0, 0]
  for (const [at, event] of events.entries()) {
    const more = weightOf(event)
    if (at > from && weight + more > most) {
      yield [from, at]
      ;[from, weight] = [at, 0]
    }
    weight += more
  }
  if (from < events.length) yield [from, events.length]
}
