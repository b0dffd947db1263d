import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../projections/projection.ts'
import { type StoredEvent, STREAMS } from '../domain/events.ts'
import { advanced, createChanges, slowest, standingOf } from './changes.ts'
import type { EventStore, ReadModel, Telemetry } from './ports.ts'

export interface FillDeps {
  store: EventStore
  telemetry: Pick<Telemetry, 'damaged' | 'log'>
}

/** How events are taken by a process that has something else to do: as many at once, and what it rests between them. */
export interface Pace {
  events: number
  restMs: number
}

export interface Filler {
  /**
   * Reads on in the log, to the end that it has when this is called or a later one, or to `upTo`.
   * @returns where it stands: null before the first event
   */
  fill(upTo?: string): Promise<string | null>
}

interface How {
  signal: AbortSignal
  pace?: Pace
  /** Events read since the last call, and where the last of them stands. */
  told?: (events: number, position: string) => void
}

/** Fills documents that nobody but this one follows the log for. */
export async function createFiller(
  { store, telemetry }: FillDeps,
  target: Pick<ReadModel, 'checkpoint' | 'apply'>,
  projections: readonly Projection[],
  { signal, pace, told = () => {} }: How,
): Promise<Filler> {
  const changesOf = createChanges(store, projections, telemetry)
  let standing = await standingOf(target, projections)

  async function take(events: readonly StoredEvent[]): Promise<void> {
    const position = events.at(-1)?.position
    if (position === undefined) return
    const { changes } = await changesOf(events, standing)
    await target.apply(changes, { after: standing, position, of: projections, term: 0 })
    standing = advanced(standing, position)
    told(events.length, position)
  }

  async function takeSlowly(events: readonly StoredEvent[], { events: size, restMs }: Pace): Promise<void> {
    for (let from = 0; from < events.length; from += size) {
      if (from > 0) await sleep(restMs, undefined, { signal })
      await take(events.slice(from, from + size))
    }
  }

  return {
    async fill(upTo) {
      const until = new AbortController()
      const either = AbortSignal.any([until.signal, signal])
      try {
        for await (const { events, caughtUp } of store.subscribe(slowest(standing), STREAMS, either)) {
          const within = upTo === undefined ? events : events.filter(({ position }) => position <= upTo)
          await (pace ? takeSlowly(within, pace) : take(within))
          if (caughtUp || within.length < events.length) break
        }
      } finally {
        until.abort()
      }
      signal.throwIfAborted()
      return slowest(standing)
    },
  }
}
