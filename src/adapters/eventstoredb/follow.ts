import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../application/ports/eventStore.ts'
import type { Connection } from './connection.ts'
import { fromPosition } from './position.ts'
import { subscription } from './subscription.ts'

const BACKOFF_MS = { first: 50, longest: 1_000 }

/**
 * What the port calls a subscription: one after the other, each going on behind the last event that was yielded, until
 * aborted. A server drops them as routine, when a burst outruns one or it restarts. With each that ends the reader is
 * told that it has lost sight of the log: what comes next may be that of another.
 * @throws RangeError for a position that is not one of this kind of log
 */
export async function* follow(
  connection: Connection,
  after: string | null,
  prefixes: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Batch, void, undefined> {
  if (after !== null) fromPosition(after)
  let position = after
  let isInSight = false
  let failures = 0

  while (!signal.aborted) {
    try {
      for await (const batch of subscription(connection, position, prefixes, signal)) {
        failures = 0
        isInSight = true
        yield batch
        position = batch.events.at(-1)?.position ?? position
      }
    } catch {
      // Whatever it was, the reader is told, and there will be another.
    }
    if (isInSight && !signal.aborted) yield { events: [], caughtUp: false }
    isInSight = false
    await pause(backoff(failures++), signal)
  }
}

/** Between half and all of a doubling time, so that many do not come back at once. */
const backoff = (failures: number): number =>
  Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** failures) * (0.5 + Math.random() / 2)

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {})
}
