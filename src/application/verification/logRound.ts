import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { weightOf } from '../../domain/usageEntries.ts'
import type { EventStore } from '../ports/eventStore.ts'

export interface LogPiece {
  events: StoredEvent[]
  /** Did it end where the log ended? */
  isEnd: boolean
}

/**
 * Reads the whole log, one piece at a time, so that requests do not notice. A piece can begin only at a known position.
 */
export interface LogRound {
  /** The next piece. At the end of the log: what has been added to it since. */
  next(): Promise<LogPiece>
  /** Begins a new round behind a position; null: at the start of the log. */
  restart(after: string | null): void
}

/** @param size the least weight of the events in a piece; what the store reads at once comes on top */
export function createLogRound(store: Pick<EventStore, 'readAll'>, size: number): LogRound {
  let after: string | null = null
  return {
    async next() {
      const events: StoredEvent[] = []
      let weight = 0
      try {
        for await (const batch of store.readAll(after)) {
          after = batch.at(-1)?.position ?? after
          events.push(...batch)
          weight += batch.reduce((sum, event) => sum + weightOf(event), 0)
          if (weight >= size) return { events, isEnd: false }
        }
        return { events, isEnd: true }
      } catch (error) {
        // The projector has reported what is missing here, so the round goes on behind it.
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
