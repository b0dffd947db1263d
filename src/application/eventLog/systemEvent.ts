import type { Fact, NewEvent } from '../../domain/events.ts'
import { versions } from '../../domain/upcast.ts'
import type { Ids } from './ids.ts'
import { type Clock, iso } from '../ports/clock.ts'

/** The event of a fact that no request has caused, not linked yet. `instance` identifies this start of the process. */
export function systemEvent(
  fact: Fact,
  { clock, ids, instance }: { clock: Clock; ids: Ids; instance: string },
): NewEvent {
  const id = ids.random()
  const metadata = {
    at: iso(clock()),
    actor: { kind: 'system' as const, id: instance },
    requestId: id,
    correlationId: id,
    schemaVersion: versions[fact.type].current,
    chain: '',
  }
  return { id, ...fact, metadata }
}
