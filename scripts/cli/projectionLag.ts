import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../projections/projection.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { STREAMS } from '../../src/domain/streams.ts'
import { plural } from './output.ts'

/** How far a projection is behind the log. */
export interface ProjectionLag {
  checkpoint: string | null
  /** Events that the projection has not seen. */
  lag: number
}

const LOOKS = 4
const PAUSE_MS = 150

/**
 * The checkpoint of a projection.
 * @param head the end of the log, read before. A running service may need a moment to project that far
 */
export async function settledCheckpoint(
  readModel: Pick<ReadModel, 'checkpoint'>,
  projection: Projection,
  head: string | null,
): Promise<string | null> {
  for (let look = 1; ; look++) {
    const checkpoint = (await readModel.checkpoint(projection))?.position ?? null
    if (look === LOOKS || !isBehind(checkpoint, head)) return checkpoint
    await sleep(PAUSE_MS)
  }
}

const isBehind = (checkpoint: string | null, head: string | null): boolean =>
  head !== null && (checkpoint ?? '') < head

/** Counting stops here: more would cost time and not help anybody. */
export const MOST_LAG = 100_000

/**
 * Counts the product's events after one position up to another, but no more than `MOST_LAG`. A server's log has others,
 * too.
 */
export async function countBetween(
  store: Pick<EventStore, 'readAll'>,
  after: string | null,
  upTo: string | null,
): Promise<number> {
  if (!isBehind(after, upTo)) return 0
  let count = 0
  for await (const events of store.readAll(after)) {
    const within = events.filter(({ position }) => upTo !== null && position <= upTo)
    count += within.filter(({ stream }) => STREAMS.some((prefix) => stream.startsWith(prefix))).length
    if (within.length < events.length || count >= MOST_LAG) break
  }
  return Math.min(count, MOST_LAG)
}

export const lagText = ({ checkpoint, lag }: ProjectionLag): string => {
  const at = checkpoint === null ? 'nothing projected yet' : `at ${checkpoint}`
  if (lag === 0) return `${at}, caught up with the log`
  return `${at}, ${lag >= MOST_LAG ? `${MOST_LAG} events or more` : plural(lag, 'event')} behind`
}
