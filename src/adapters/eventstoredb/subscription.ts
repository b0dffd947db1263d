import { type AllStreamResolvedEvent, START, streamNameFilter } from '@eventstore/db-client'
import type { Batch } from '../../application/ports/eventStore.ts'
import { arrivalsOf } from './arrivals.ts'
import type { Connection } from './connection.ts'
import { createEndOfLog } from './endOfLog.ts'
import { type Recorded, toStoredEvent } from './event.ts'
import { fromPosition, type LogPosition, toPosition } from './position.ts'
import { BATCH, BUFFER } from './read.ts'

/** Silence is normal while nothing is appended. After this much of it the server is asked whether nothing was. */
const SILENCE_MS = 1_000

/**
 * One subscription, for as long as the server keeps it: the events after a position, of streams with one of the
 * prefixes. `caughtUp` is true when the server says so of what it has sent, or when a look at the log has shown it; it is
 * false from the next event on, until it is known again.
 * @throws the error that ended it; SilenceError if the server does not answer any more, or gives nothing of what is there
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
      filter: streamNameFilter({
        prefixes: [...prefixes],
        checkpointReached: async (_, position: LogPosition) => end.passed(toPosition(position)),
      }),
    },
    BUFFER,
  )
  const arrivals = arrivalsOf<AllStreamResolvedEvent>(source)
  const end = createEndOfLog(connection, prefixes, after, arrivals.poke)
  /** Has the server reached the end of the log for the first time? */
  let isLive = false
  /** Has it said so, while events that it sent before may still wait here? */
  let saidCaughtUp = false
  let caughtUp = false
  let announcedCaughtUp = false
  source.on('caughtUp', () => {
    isLive = true
    saidCaughtUp = true
    arrivals.poke()
  })
  signal.addEventListener('abort', arrivals.poke)
  try {
    while (!signal.aborted) {
      const events = arrivals.take(BATCH).map(({ event }) => toStoredEvent(event as Recorded))
      const last = events.at(-1)
      if (last) {
        caughtUp = false
        end.gave(last.position)
      }
      if (saidCaughtUp && arrivals.waiting() === 0) {
        caughtUp = true
        saidCaughtUp = false
      }
      const news = end.news()
      if (news === 'behind' || news === 'at the end') caughtUp = news === 'at the end'
      const asOf = typeof news === 'number' && !caughtUp ? news : null
      let isSilent = false
      if (events.length > 0 || caughtUp !== announcedCaughtUp || asOf !== null) {
        yield asOf === null ? { events, caughtUp } : { events, caughtUp: true, asOf }
        announcedCaughtUp = caughtUp
      } else if (arrivals.ended()) return
      else
        isSilent = !(await arrivals.next(isLive && !caughtUp && !end.isLooking() ? end.restMs() : SILENCE_MS))
      // Events that come all the time must not keep it from looking; a reader far behind need not look.
      const mayBeBehind = isLive && !caughtUp && end.restMs() === 0 && arrivals.waiting() < BATCH
      if (isSilent || mayBeBehind) end.look(isLive)
    }
  } finally {
    signal.removeEventListener('abort', arrivals.poke)
    source.unsubscribe().catch(() => {})
  }
}
