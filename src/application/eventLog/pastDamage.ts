import type { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { turn } from '../scheduling/turns.ts'
import { readSome } from './tokenStream.ts'

export interface Passage {
  events: StoredEvent[]
  /** What the store says of the event behind these, if it finds that one damaged. */
  damage: DamagedError | null
  /** Of that event; else of the one that comes next. */
  revision: number
  /** Nothing is looked for from here on, although the stream may go on. */
  isGivenUp: boolean
}

/** Events that are read at once. */
const PAGE = 50
/** As many in a row are passed over: where a store cannot say any more where a stream ends, it has no end. */
const MOST_DAMAGED = 100

/**
 * The events of a stream, past those that the store finds damaged. The loop is left to others between the pages.
 * @param from a revision
 * @throws StoreUnavailableError
 */
export async function* readPastDamage(
  store: EventStore,
  stream: string,
  from: number,
): AsyncGenerator<Passage, void, undefined> {
  let [revision, damaged] = [from, 0]
  while (damaged < MOST_DAMAGED) {
    const size = damaged === 0 ? PAGE : 1
    const { events, damage } = await readSome(store, stream, revision, size)
    const last = events.at(-1)
    if (last) revision = last.revision + 1
    yield { events, damage, revision, isGivenUp: false }
    if (!damage && events.length < size) return
    damaged = damage ? damaged + 1 : 0
    if (damage) revision++
    await turn()
  }
  yield { events: [], damage: null, revision, isGivenUp: true }
}
