import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../projections/projection.ts'
import { createChanges } from './changes.ts'
import type { ReadModel, Telemetry } from './ports.ts'
import type { Inspected, LogReader } from './readLog.ts'
import { advanced, slowest, type Standing, standingOf } from './standing.ts'

export interface FillDeps {
  read: LogReader
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
   * @returns where it stands then
   */
  fill(upTo?: string): Promise<Standing>
}

interface How {
  signal: AbortSignal
  pace?: Pace
  /** Events read since the last call, and where the last of them stands. */
  told?: (events: number, position: string) => void
}

type Piece = Pick<Inspected, 'events' | 'damages'>

const part = ({ events, damages }: Piece, from: number, to: number): Piece => ({
  events: events.slice(from, to),
  damages: damages.slice(from, to),
})

/** Fills documents that nobody but this one follows the log for. */
export async function createFiller(
  { read, telemetry }: FillDeps,
  target: Pick<ReadModel, 'checkpoint' | 'apply'>,
  projections: readonly Projection[],
  { signal, pace, told = () => {} }: How,
): Promise<Filler> {
  const changesOf = createChanges(projections, telemetry)
  let standing = await standingOf(target, projections)

  async function take({ events, damages }: Piece): Promise<void> {
    const position = events.at(-1)?.position
    if (position === undefined) return
    const { changes } = changesOf(events, damages, standing)
    const to = advanced(standing, events)
    await target.apply(changes, { from: standing, to })
    standing = to
    told(events.length, position)
  }

  async function takeSlowly(piece: Piece, { events: size, restMs }: Pace): Promise<void> {
    for (let from = 0; from < piece.events.length; from += size) {
      if (from > 0) await sleep(restMs, undefined, { signal })
      await take(part(piece, from, from + size))
    }
  }

  return {
    async fill(upTo) {
      const until = new AbortController()
      const either = AbortSignal.any([until.signal, signal])
      try {
        for await (const { caughtUp, ...piece } of read(slowest(standing)?.position ?? null, either)) {
          const beyond = piece.events.findIndex(({ position }) => upTo !== undefined && position > upTo)
          const within = beyond < 0 ? piece : part(piece, 0, beyond)
          await (pace ? takeSlowly(within, pace) : take(within))
          if (caughtUp || beyond >= 0) break
        }
      } finally {
        until.abort()
      }
      signal.throwIfAborted()
      return standing
    },
  }
}
