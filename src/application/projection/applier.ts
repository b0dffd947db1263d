import type { Change, Projection } from '../../../projections/projection.ts'
import { refusalOf, refusedEvents } from '../../../projections/refusedEvents.ts'
import { closeWithoutHash } from '../../../projections/tokens.ts'
import type { StoredEvent } from '../../domain/events.ts'
import type { Step } from '../ports/checkpoints.ts'
import type { ReadModel } from '../ports/readModel.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { createChanges, filledBy } from './changes.ts'
import { createAlarm } from './refusals.ts'
import { HASH_TAKEN, mayLast, takeApart } from './takeApart.ts'

export interface Applied {
  /** Tokens that have changed since they were made. */
  changed: ReadonlySet<string>
  /** Of the events given those of which the store did not take all, with the reason. */
  refused: readonly (readonly [StoredEvent, reason: string])[]
}

export interface Applier {
  /**
   * Turns events into changes and has them applied. What the store will never take is looked for and left out: that
   * event's token is closed, somebody is alarmed, and all others go on. Whoever fills the same documents from the same
   * events leaves out the same.
   * @throws StoreUnavailableError, LeadershipLostError, DamagedError as `ReadModel.apply`; without a step, which a request waits
   *   for, also errors of which only several tries would show whether they pass
   */
  apply(events: readonly StoredEvent[], damages: readonly (string | null)[], step?: Step): Promise<Applied>
  /** Closes tokens whose hash another one had first. Given are their first events, all of them applied. */
  closeLater(events: readonly StoredEvent[], step: Step): Promise<void>
}

interface Deps {
  target: Pick<ReadModel, 'apply'>
  projections: readonly Projection[]
  telemetry: Pick<Telemetry, 'damaged' | 'log'>
  /** The first event of the token that has a hash, if that came later in the log than `event`. Default: never. */
  laterOwner?: (hash: string, event: StoredEvent) => Promise<StoredEvent | null>
}

export function createApplier({ target, projections, telemetry, laterOwner }: Deps): Applier {
  const alarm = createAlarm(telemetry)
  const changesOf = createChanges(projections, telemetry, alarm)
  const fills = filledBy(projections)
  /** By collection the last change that was taken: taken again it changes nothing, and shows that the store works. */
  const proofs = new Map<string, Change>()

  function prove(change: Change): void {
    if (change.kind !== 'replace') proofs.set(change.collection, change)
  }

  return {
    async apply(events, damages, step) {
      const { changes, sources, changed } = changesOf(events, damages, step?.from)
      try {
        await target.apply(changes, step)
        if (changes.length > 0) prove(changes.at(-1) as Change)
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
