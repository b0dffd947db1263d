import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { createApplier } from './applier.ts'
import type { ProjectionTarget } from '../ports/readModel.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { TOKEN_STREAM, tokenIdOf } from '../../domain/streams.ts'
import type { Inspected, LogReader } from '../eventLog/logReader.ts'
import { piecesOf } from '../eventLog/pieces.ts'
import { advance, lowestCheckpoint, checkpointsOf } from '../readModel/checkpoints.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'

export interface FillDeps {
  read: LogReader
  telemetry: Pick<Telemetry, 'damaged' | 'log'>
}

/** The pace of a process that serves requests as well. */
export interface Pace {
  /** How much is applied at once, by weight. */
  weight: number
  /** The pause after them, in milliseconds. */
  restMs: number
}

export interface Filler {
  /**
   * Reads on in the log: up to the position `upTo`, or until it has caught up, and so at least to the end that the log
   * has when this is called.
   * @returns the checkpoints then
   */
  fill(upTo?: string): Promise<Checkpoints>
  /** Of each group of tokens that share a hash, closes all but the one that comes first in the log. */
  closeLater(groups: readonly (readonly string[])[]): Promise<void>
}

interface FillOptions {
  signal: AbortSignal
  pace?: Pace
  /** Gets the number of events applied since the last call, and the position of the last one. */
  onProgress?: (events: number, position: string) => void
}

type Piece = Pick<Inspected, 'events' | 'damages'>

const part = ({ events, damages }: Piece, from: number, to: number): Piece => ({
  events: events.slice(from, to),
  damages: damages.slice(from, to),
})

const isFirst = ({ stream, revision }: StoredEvent): boolean =>
  revision === 0 && stream.startsWith(TOKEN_STREAM)

/** Fills documents from the log, which no other process may fill at the same time. */
export async function createFiller(
  { read, telemetry }: FillDeps,
  target: Pick<ProjectionTarget, 'checkpoint' | 'apply'>,
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

  async function takeSlowly(piece: Piece, { weight, restMs }: Pace): Promise<void> {
    for (const [from, to] of piecesOf(piece.events, weight)) {
      if (from > 0) await sleep(restMs, undefined, { signal })
      await take(part(piece, from, to))
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
