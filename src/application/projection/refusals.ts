import type { RefusedEventDocument } from '../../../projections/refusedEvents.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { ReadModel } from '../ports/readModel.ts'
import type { Telemetry } from '../ports/telemetry.ts'

/** `hash`: another token has it. `store`: the read model does not take it. */
export type RefusalKind = 'chain' | 'version' | 'type' | 'data' | 'projection' | 'hash' | 'store'

/** Says of an event that it is refused: in the log, which an operator is to hear of, and in a metric. */
export type Alarm = (
  event: StoredEvent,
  refusal: { kind: RefusalKind; reason: string; uses?: number },
) => void

/** An event comes again after an outage, and when a command sends it: then everybody knows. */
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

/** What the read model says of an event that it is without. */
export type RefusedEvent = Omit<RefusedEventDocument, 'id'> & { position: string }

export interface Refused {
  events: number
  /** Of them the first, in log order. */
  first: RefusedEvent[]
}

/** More are counted no further. */
const COUNTED = 1_000_000

export async function refusedIn(
  readModel: Pick<ReadModel, 'find' | 'count'>,
  limit: number,
): Promise<Refused> {
  const found = await readModel.find('refusedEvents', { where: [], limit })
  const events = await readModel.count('refusedEvents', [], COUNTED)
  const first = (found as unknown as RefusedEventDocument[]).map(({ id: position, ...event }) => ({
    position,
    ...event,
  }))
  return { events, first }
}

/** How many uses an event tells of, where it can be read. Roll-ups repeat what other events tell. */
export function usesIn({ type, data }: StoredEvent): number {
  const count = type === 'TokenUsed' ? (data as { count?: unknown } | null)?.count : 0
  return Number.isSafeInteger(count) ? Math.max(0, count as number) : 0
}
