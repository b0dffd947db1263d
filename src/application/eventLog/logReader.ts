import type { StoredEvent } from '../../domain/events.ts'
import { STREAMS } from '../../domain/streams.ts'
import { createAccounts } from './accounts.ts'
import { createInspector, type Inspector } from './chainInspector.ts'
import type { EventStore } from '../ports/eventStore.ts'

/** A piece of the log. The events of tokens say whose the token is. `damages` says what is wrong with each event, null for one that can be trusted. */
export interface Inspected {
  events: readonly StoredEvent[]
  damages: readonly (string | null)[]
  /** Does it reach the end of the log, as it was when the piece was read? */
  caughtUp: boolean
}

/** Follows the log behind a position (null: from its start) until `signal` is aborted. Fails as `subscribe` does. */
export type LogReader = (from: string | null, signal: AbortSignal) => AsyncIterable<Inspected>

export function createLogReader(store: EventStore): LogReader {
  const inspect = createInspector(store)
  const withAccounts = createAccounts(store)
  return async function* read(from, signal) {
    for await (const { events, caughtUp } of store.subscribe(from, STREAMS, signal))
      yield {
        events: await withAccounts(events),
        damages: await inspectAll(inspect, events),
        caughtUp,
      }
  }
}

/** Inspects events one by one, since each check depends on the event before it. */
export async function inspectAll(
  inspect: Inspector,
  events: readonly StoredEvent[],
): Promise<(string | null)[]> {
  const damages: (string | null)[] = []
  for (const event of events) {
    // Most answers need no read of the store, and awaiting each of them would cost more than the check itself.
    const damage = inspect(event)
    damages.push(damage instanceof Promise ? await damage : damage)
  }
  return damages
}
