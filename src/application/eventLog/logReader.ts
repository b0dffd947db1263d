import type { StoredEvent } from '../../domain/events.ts'
import { STREAMS } from '../../domain/streams.ts'
import { createInspector, type Inspector } from './chainInspector.ts'
import type { EventStore } from '../ports/eventStore.ts'

/** A piece of the log, and what is wrong with each of its events: null for those that can be trusted. */
export interface Inspected {
  events: readonly StoredEvent[]
  damages: readonly (string | null)[]
  /** There are no more for now. */
  caughtUp: boolean
}

/** Follows the log behind a position, null for its start, until `signal` is aborted. Fails as `subscribe` does. */
export type LogReader = (from: string | null, signal: AbortSignal) => AsyncIterable<Inspected>

export function createLogReader(store: EventStore): LogReader {
  const inspect = createInspector(store)
  return async function* read(from, signal) {
    for await (const { events, caughtUp } of store.subscribe(from, STREAMS, signal))
      yield { events, damages: await inspectAll(inspect, events), caughtUp }
  }
}

/** One by one, in the order given. */
export async function inspectAll(
  inspect: Inspector,
  events: readonly StoredEvent[],
): Promise<(string | null)[]> {
  const damages: (string | null)[] = []
  for (const event of events) {
    // Awaited only when the answer needs the store: most events are judged from what is already here.
    const judged = inspect(event)
    damages.push(judged instanceof Promise ? await judged : judged)
  }
  return damages
}
