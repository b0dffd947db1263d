import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { createApplier } from './applier.ts'
import type { ReadModel } from '../ports/readModel.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { TOKEN_STREAM, tokenIdOf } from '../../domain/streams.ts'
import type { Inspected, LogReader } from '../eventLog/logReader.ts'
import { advance, lowestCheckpoint, checkpointsOf } from '../readModel/standing.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'

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
  fill(upTo?: string): Promise<Checkpoints>
  /** Closes all tokens but the first in the log, of each group that has one hash. */
  closeLater(groups: readonly (readonly string[])[]): Promise<void>
}

interface FillOptions {
  signal: AbortSignal
  pace?: Pace
  /** Events read since the last call, and where the last of them stands. */
  onProgress?: (events: number, position: string) => void
}

type Piece = Pick<Inspected, 'events' | 'damages'>

const part = ({ events, damages }: Piece, from: number, to: number): Piece => ({
  events: events.slice(from, to),
  damages: damages.slice(from, to),
})

const isFirst = ({ stream, revision }: StoredEvent): boolean =>
  revision === 0 && stream.startsWith(TOKEN_STREAM)

/** Fills documents that nobody but this one follows the log for. */
export async function createFiller(
  { read, telemetry }: FillDeps,
  target: Pick<ReadModel, 'checkpoint' | 'apply'>,
  projections: readonly Projection[],
  { signal, pace, onProgress = () => {} }: FillOptions,
): Promise<Filler> {
  const applier = createApplier({ target, projections, telemetry })
  let checkpoints = await checkpointsOf(target, projections)

  async function take({ events, damages }: Piece): Promise<void> {
    const position = events.at(-1)?.position
    if (position === undefined) return
    const to = advance(checkpoints, events)
    await applier.apply(events, damages, { from: checkpoints, to })
    checkpoints = to
    onProgress(events.length, position)
  }

  async function takeSlowly(piece: Piece, { events: size, restMs }: Pace): Promise<void> {
    for (let from = 0; from < piece.events.length; from += size) {
      if (from > 0) await sleep(restMs, undefined, { signal })
      await take(part(piece, from, from + size))
    }
  }

  /** The first events of tokens, in log order. */
  async function firstEvents(tokenIds: ReadonlySet<string>): Promise<StoredEvent[]> {
    const found: StoredEvent[] = []
    const enough = new AbortController()
    try {
      for await (const { events, caughtUp } of read(null, AbortSignal.any([enough.signal, signal]))) {
        found.push(...events.filter((event) => isFirst(event) && tokenIds.has(tokenIdOf(event.stream))))
        if (caughtUp || found.length === tokenIds.size) return found
      }
    } finally {
      enough.abort()
    }
    signal.throwIfAborted()
    return found
  }

  return {
    async closeLater(groups) {
      const groupOf = new Map(groups.flatMap((ids, group) => ids.map((id) => [id, group] as const)))
      const owned = new Set<number>()
      const later: StoredEvent[] = []
      for (const event of await firstEvents(new Set(groupOf.keys()))) {
        const group = groupOf.get(tokenIdOf(event.stream)) ?? -1
        if (owned.has(group)) later.push(event)
        else owned.add(group)
      }
      await applier.closeLater(later, { from: checkpoints, to: checkpoints })
    },

    async fill(upTo) {
      const until = new AbortController()
      const either = AbortSignal.any([until.signal, signal])
      try {
        for await (const { caughtUp, ...piece } of read(
          lowestCheckpoint(checkpoints)?.position ?? null,
          either,
        )) {
          const beyond = piece.events.findIndex(({ position }) => upTo !== undefined && position > upTo)
          const within = beyond < 0 ? piece : part(piece, 0, beyond)
          await (pace ? takeSlowly(within, pace) : take(within))
          if (caughtUp || beyond >= 0) break
        }
      } finally {
        until.abort()
      }
      signal.throwIfAborted()
      return checkpoints
    },
  }
}
