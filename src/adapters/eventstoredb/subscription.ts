import { type AllStreamResolvedEvent, START, streamNameFilter } from '@eventstore/db-client'
import type { Batch } from '../../application/ports/eventStore.ts'
import { arrivalsOf } from './arrivals.ts'
import type { Connection } from './connection.ts'
import { type Recorded, toStoredEvent } from './event.ts'
import { fromPosition } from './position.ts'
import { BATCH, BUFFER, head } from './read.ts'

/** Silence is normal while nothing is appended. After this much of it the server is asked whether it is still there. */
const SILENCE_MS = 1_000

/**
 * One subscription, for as long as the server keeps it: the events after a position, of streams with one of the
 * prefixes.
 * @throws the error that ended it; StoreUnavailableError if the server does not answer any more
 */
export async function* subscription(
  connection: Connection,
  after: string | null,
  prefixes: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Batch, void, undefined> {
  const source = connection.client.subscribeToAll(
    {
      ...connection.call,
      fromPosition: after === null ? START : fromPosition(after),
      filter: streamNameFilter({ prefixes: [...prefixes] }),
    },
    BUFFER,
  )
  const arrivals = arrivalsOf<AllStreamResolvedEvent>(source)
  let isLive = false
  let announcedCaughtUp = false
  const turn = (live: boolean) => (): void => {
    isLive = live
    arrivals.poke()
  }
  source.on('caughtUp', turn(true))
  source.on('fellBehind', turn(false))
  signal.addEventListener('abort', arrivals.poke)
  try {
    while (!signal.aborted) {
      const events = arrivals.take(BATCH).map(({ event }) => toStoredEvent(event as Recorded))
      // The client emits `caughtUp` at once, while events that came before it may still wait here.
      const caughtUp = isLive && arrivals.waiting() === 0
      if (events.length > 0 || caughtUp !== announcedCaughtUp) {
        yield { events, caughtUp }
        announcedCaughtUp = caughtUp
      } else if (arrivals.ended()) return
      else if (!(await arrivals.next(SILENCE_MS))) await head(connection)
    }
  } finally {
    signal.removeEventListener('abort', arrivals.poke)
    source.unsubscribe().catch(() => {})
  }
}
