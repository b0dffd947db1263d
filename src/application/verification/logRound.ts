import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { EventStore } from '../ports/eventStore.ts'

export interface LogPiece {
  events: StoredEvent[]
  /** Did it end where the log ended? */
  isEnd: boolean
}

/** Goes along the log a piece at a time, so that nobody notices. A server's log can be entered only at known positions. */
export interface LogRound {
  /** What comes next; at the end of the log what has been added to it. */
  next(): Promise<LogPiece>
  /** Begins anew behind a position, null: at the start of the log. */
  restart(after: string | null): void
}

/** @param size events in a piece, give or take what the store reads at once */
export function createLogRound(store: Pick<EventStore, 'readAll'>, size: number): LogRound {
  let after: string | null = null
  return {
    async next() {
      const events: StoredEvent[] = []
      try {
        for await (const batch of store.readAll(after)) {
          after = batch.at(-1)?.position ?? after
          events.push(...batch)
          if (events.length >= size) return { events, isEnd: false }
        }
        return { events, isEnd: true }
      } catch (error) {
        // Whoever follows the log has reported what is missing in it.
        if (!(error instanceof DamagedError) || error.after === undefined) throw error
        after = error.after
        return { events, isEnd: false }
      }
    },
    restart(position) {
      after = position
    },
  }
}
