import { type AllStreamResolvedEvent, START, streamNameFilter } from '@eventstore/db-client'
import type { Batch } from '../../application/ports.ts'
import { arrivalsOf } from './arrivals.ts'
import type { Connection } from './connection.ts'
import { type Recorded, toStoredEvent } from './event.ts'
import { fromPosition } from './position.ts'
import { BATCH, BUFFER, head } from './read.ts'

/** Silence is normal on an idle log; after this much of it the server is asked whether it is still there. */
const SILENCE_MS = 1_000

/**
 * One subscription for as long as it lasts: what comes after a position in streams with one of the prefixes.
 * @throws what ended it; StoreUnavailableError when the server does not answer any more
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
  const level = createLevel(arrivals)
  source.on('caughtUp', level.announce)
  signal.addEventListener('abort', arrivals.poke)
  try {
    while (!signal.aborted) {
      const events = arrivals.take(BATCH).map(({ event }) => toStoredEvent(event as Recorded))
      const news = level.after(events.length)
      if (events.length > 0 || news) yield { events, caughtUp: level.reached() }
      else if (arrivals.ended()) return
      else if (!(await arrivals.next(SILENCE_MS))) await head(connection)
    }
  } finally {
    signal.removeEventListener('abort', arrivals.poke)
    source.unsubscribe().catch(() => {})
  }
}

/**
 * The server says once that it has sent everything there was, and the client tells that at once, before what came
 * earlier has been taken. Held back until then, it is true; later on, what has arrived is all there is.
 */
function createLevel({ waiting, poke }: { waiting(): number; poke(): void }) {
  let taken = 0
  let announcedAt = Number.POSITIVE_INFINITY
  let isLive = false
  let isReached = false
  return {
    announce(): void {
      announcedAt = taken + waiting()
      poke()
    },
    /** Counts events that were taken. @returns whether the end is reached and was not before */
    after(count: number): boolean {
      taken += count
      const isFulfilled = taken >= announcedAt
      if (isFulfilled) {
        announcedAt = Number.POSITIVE_INFINITY
        isLive = true
      }
      const was = isReached
      isReached = isFulfilled || (isLive && waiting() === 0)
      return isReached && !was
    },
    reached: (): boolean => isReached,
  }
}
