import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import { refusalOf, refusedEvents } from '../../../projections/refusedEvents.ts'
import { closeWithoutHash } from '../../../projections/tokens.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { Step } from '../ports/checkpoints.ts'
import type { ProjectionTarget } from '../ports/readModel.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { createChanges, filledBy } from './changes.ts'
import { createAlarm } from './refusals.ts'
import { HASH_TAKEN, mayLast, takeApart } from './takeApart.ts'

export interface Applied {
  /** Ids of the tokens with an event after their first one. */
  changed: ReadonlySet<string>
  /** Those of the events whose changes the store did not take, or not all of them, each with the reason. */
  refused: readonly (readonly [StoredEvent, reason: string])[]
}

export interface Applier {
  /**
   * Turns events into changes and applies them. If the store will never take some of them, their event is found and
   * left out: its token is closed, an alarm is raised, and all other events are applied. The same events always lead to
   * the same documents, whoever applies them.
   * @throws StoreUnavailableError, LeadershipLostError, DamagedError as `ProjectionTarget.apply`; without a step, also unknown
   *   errors, since a request waits for the answer and cannot wait for the tries that would show whether they last
   */
  apply(events: readonly StoredEvent[], damages: readonly (string | null)[], step?: Step): Promise<Applied>
  /** Closes tokens whose hash another token had before them. @param events their first events, already applied */
  closeLater(events: readonly StoredEvent[], step: Step): Promise<void>
}

interface Deps {
  target: Pick<ProjectionTarget, 'apply'>
  projections: readonly Projection[]
  telemetry: Pick<Telemetry, 'damaged' | 'log'>
  /** The first event of the token that has this hash, if it comes later in the log than `event`. Default: none does. */
  laterOwner?: (hash: string, event: StoredEvent) => Promise<StoredEvent | null>
}

export function createApplier({ target, projections, telemetry, laterOwner }: Deps): Applier {
  const alarm = createAlarm(telemetry)
  const changesOf = createChanges(projections, telemetry, alarm)
  const fills = filledBy(projections)
  /** The last change that each collection took. Applying it again changes nothing, and proves that the store works. */
  const proofs = new Map<string, DocumentChange>()

  function prove(change: DocumentChange): void {
    if (change.kind !== 'replace') proofs.set(change.collection, change)
  }

  return {
    async apply(events, damages, step) {
      const { changes, sources, changed } = changesOf(events, damages, step?.from)
      try {
        await target.apply(changes, step)
        if (changes.length > 0) prove(changes.at(-1) as DocumentChange)
        return { changed, refused: [] }
      } catch (error) {
        if (changes.length === 0 || !mayLast(error, step)) throw error
        const { takeAll, refused, closed } = takeApart(
          { target, fills, proofs, prove, alarm, log: telemetry.log, laterOwner },
          step,
        )
        await takeAll({ changes, sources })
        if (step) await target.apply([], step)
        return {
          changed: new Set([...changed, ...closed]),
          refused: events.flatMap((event) => {
            const reason = refused.get(event.position)
            return reason === undefined ? [] : [[event, reason] as const]
          }),
        }
      }
    },

    async closeLater(events, step) {
      const changes = events.flatMap((event) => [
        closeWithoutHash(event, HASH_TAKEN),
        ...(fills(refusedEvents) ? [refusalOf(event, HASH_TAKEN, 0)] : []),
      ])
      await target.apply(changes, step)
      for (const event of events) alarm(event, { kind: 'hash', reason: HASH_TAKEN })
    },
  }
}
