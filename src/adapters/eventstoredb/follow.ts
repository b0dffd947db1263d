import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../application/ports/eventStore.ts'
import type { Connection } from './connection.ts'
import { fromPosition } from './position.ts'
import { subscription } from './subscription.ts'

const BACKOFF_MS = { first: 50, longest: 1_000 }

/**
 * A subscription as the port defines it. It consists of subscriptions of the server, one after the other, each of which
 * continues behind the last event that was yielded. Servers drop subscriptions when they restart, and version 23.10 as a
 * matter of routine, when a burst of events is too fast. Whenever one ends, the reader gets a step that is
 * `interrupted`.
 * @throws RangeError if the position is not of this kind of log
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
      // Whatever the error was, the reader is informed below, and another subscription is begun.
    }
    if (isInSight && !signal.aborted) yield { events: [], caughtUp: false, interrupted: true }
    isInSight = false
    await pause(backoff(failures++), signal)
  }
}

/** A random part, half to all, of a time that doubles, so that many readers do not come back at the same moment. */
const backoff = (failures: number): number =>
  Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** failures) * (0.5 + Math.random() / 2)

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {})
}
