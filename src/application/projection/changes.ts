import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import { refusalOf, refusedEvents } from '../../../projections/refusedEvents.ts'
import { passOver, stopToken, tokens } from '../../../projections/tokens.ts'
import { isOfToken, tokenIdOf } from '../../domain/streams.ts'
import type { RecordedEvent, StoredEvent } from '../../domain/events.ts'
import { notUnderstood, upcast } from '../../domain/upcast.ts'
import { usesIn } from '../../domain/usageEntries.ts'
import { flawOf } from '../eventLog/eventCheck.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { type Alarm, createAlarm, type RefusalKind } from './refusals.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'

export interface Projected {
  changes: DocumentChange[]
  /** For each change, the event that it comes from. */
  sources: StoredEvent[]
  /** Ids of the tokens with an event after their first one. */
  changed: Set<string>
}

/** Says whether a projection is among those that are filled, in whatever version. */
export const filledBy =
  (projections: readonly Projection[]) =>
  (wanted: Projection): boolean =>
    projections.some(({ name }) => name === wanted.name)

/**
 * Turns events into changes of documents, in the order given; `damages` says what is wrong with each event. An event
 * that cannot be trusted, understood or projected is refused, and if it is part of a token's history, the token is
 * closed. Live and new documents are filled by this one function. An event at or before a projection's checkpoint is
 * not given to that projection again.
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
  const ofToken = (event: StoredEvent, change: () => DocumentChange): DocumentChange[] =>
    fillsTokens && isOfToken(event) ? [change()] : []

  function refuse(event: StoredEvent, kind: RefusalKind, reason: string): DocumentChange[] {
    // The data of an event that cannot be trusted must not be counted.
    const uses = kind === 'chain' ? 0 : usesIn(event)
    alarm(event, { kind, reason, uses })
    return [
      ...ofToken(event, () => stopToken(event, reason)),
      ...(recordsRefusals ? [refusalOf(event, reason, uses)] : []),
    ]
  }

  function changesOf(event: StoredEvent, damage: string | null, checkpoints?: Checkpoints): DocumentChange[] {
    if (damage !== null) return refuse(event, 'chain', damage)
    const read = upcast(event)
    const reason = notUnderstood(event, read)
    if (reason !== null) return refuse(event, read.kind === 'unknown-version' ? 'version' : 'type', reason)
    if (read.kind !== 'event') {
      // It only informs, so its token stays open and nobody is alarmed.
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

  function projected(event: RecordedEvent, checkpoints?: Checkpoints): DocumentChange[] {
    const changes: DocumentChange[] = []
    for (const projection of projections) {
      const isNew = event.position > (checkpoints?.get(projection)?.position ?? '')
      if (isNew && projection.events.includes(event.type)) changes.push(...projection.project(event))
    }
    return changes
  }

  return (events, damages, checkpoints) => {
    const changes: DocumentChange[] = []
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
