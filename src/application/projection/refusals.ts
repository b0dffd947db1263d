import type { RefusedEventDocument } from '../../../projections/refusedEvents.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import type { Telemetry } from '../ports/telemetry.ts'

/** Why an event is refused. `hash`: another token has the same hash. `store`: the read model does not take it. */
export type RefusalKind = 'chain' | 'version' | 'type' | 'data' | 'projection' | 'hash' | 'store'

/** Reports that an event is refused, in a metric and as an error in the service's log, since an operator has to act. */
export type Alarm = (
  event: StoredEvent,
  refusal: { kind: RefusalKind; reason: string; uses?: number },
) => void

/** How many events are remembered as announced: the same event comes again after an outage, and from a command. */
const REMEMBERED = 10_000

export function createAlarm({ damaged, log }: Pick<Telemetry, 'damaged' | 'log'>): Alarm {
  const announced = new Set<string>()
  return (event, { kind, reason, uses = 0 }) => {
    if (announced.has(event.position)) return
    for (const oldest of announced) {
      if (announced.size < REMEMBERED) break
      announced.delete(oldest)
    }
    announced.add(event.position)
    damaged(kind, uses)
    const { stream, revision } = event
    log.error({ stream, revision, reason, ...(uses > 0 && { usesNotCounted: uses }) }, 'event refused')
  }
}

/** What the read model knows of an event that it is without. */
export type RefusedEvent = Omit<RefusedEventDocument, 'id'> & { position: string }

export interface Refused {
  events: number
  /** The first of them, in log order. */
  first: RefusedEvent[]
}

/** Counting stops here. */
const COUNTED = 1_000_000

export async function refusedIn(readModel: DocumentReader, limit: number): Promise<Refused> {
  const found = await readModel.find('refusedEvents', { where: [], limit })
  const events = await readModel.count('refusedEvents', [], COUNTED)
  const first = (found as unknown as RefusedEventDocument[]).map(({ id: position, ...event }) => ({
    position,
    ...event,
  }))
  return { events, first }
}
