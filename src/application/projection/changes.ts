import type { Change, Projection } from '../../../projections/projection.ts'
import { refusalOf, refusedEvents } from '../../../projections/refusedEvents.ts'
import { passOver, stopToken, tokens } from '../../../projections/tokens.ts'
import { isOfToken, tokenIdOf } from '../../domain/streams.ts'
import type { RecordedEvent, StoredEvent } from '../../domain/events.ts'
import { notUnderstood, upcast } from '../../domain/upcast.ts'
import { flawOf } from '../eventLog/eventCheck.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { type Alarm, createAlarm, type RefusalKind, usesIn } from './refusals.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'

export interface Projected {
  changes: Change[]
  /** Of each change the event that it comes from. */
  sources: StoredEvent[]
  /** Tokens that have changed since they were made. */
  changed: Set<string>
}

/** Says whether a projection is among those that are filled, in whatever version. */
export const filledBy =
  (projections: readonly Projection[]) =>
  (wanted: Projection): boolean =>
    projections.some(({ name }) => name === wanted.name)

/**
 * Turns events, with what is wrong with each of them, into changes of documents, one by one in the order given; those
 * that cannot be trusted, understood or projected are refused, and a token whose history they are part of is closed. For
 * whoever
 * fills documents, live or new: a projection is not given what it has seen by its checkpoints.
 */
export function createChanges(
  projections: readonly Projection[],
  telemetry: Pick<Telemetry, 'damaged' | 'log'>,
  alarm: Alarm = createAlarm(telemetry),
): (
  events: readonly StoredEvent[],
  damages: readonly (string | null)[],
  checkpoints?: Checkpoints,
) => Projected {
  const fills = filledBy(projections)
  const [fillsTokens, recordsRefusals] = [fills(tokens), fills(refusedEvents)]
  const ofToken = (event: StoredEvent, change: () => Change): Change[] =>
    fillsTokens && isOfToken(event) ? [change()] : []

  function refuse(event: StoredEvent, kind: RefusalKind, reason: string): Change[] {
    // What is said in an event that cannot be trusted is not repeated.
    const uses = kind === 'chain' ? 0 : usesIn(event)
    alarm(event, { kind, reason, uses })
    return [
      ...ofToken(event, () => stopToken(event, reason)),
      ...(recordsRefusals ? [refusalOf(event, reason, uses)] : []),
    ]
  }

  function changesOf(event: StoredEvent, damage: string | null, checkpoints?: Checkpoints): Change[] {
    if (damage !== null) return refuse(event, 'chain', damage)
    const read = upcast(event)
    const reason = notUnderstood(event, read)
    if (reason !== null) return refuse(event, read.kind === 'unknown-version' ? 'version' : 'type', reason)
    if (read.kind !== 'event') {
      // Nobody has to do anything about it.
      telemetry.damaged('skipped')
      return ofToken(event, () => passOver(event))
    }
    const flaw = flawOf(read.event)
    if (flaw !== null) return refuse(event, 'data', flaw)
    try {
      return projected(read.event, checkpoints)
    } catch (error) {
      return refuse(event, 'projection', `it cannot be projected: ${(error as Error).name}`)
    }
  }

  function projected(event: RecordedEvent, checkpoints?: Checkpoints): Change[] {
    const changes: Change[] = []
    for (const projection of projections) {
      const isNew = event.position > (checkpoints?.get(projection)?.position ?? '')
      if (isNew && projection.events.includes(event.type)) changes.push(...projection.project(event))
    }
    return changes
  }

  return (events, damages, checkpoints) => {
    const changes: Change[] = []
    const sources: StoredEvent[] = []
    const changed = new Set<string>()
    events.forEach((event, n) => {
      if (isOfToken(event) && event.revision > 0) changed.add(tokenIdOf(event.stream))
      for (const change of changesOf(event, damages[n] ?? null, checkpoints)) {
        changes.push(change)
        sources.push(event)
      }
    })
    return { changes, sources, changed }
  }
}
