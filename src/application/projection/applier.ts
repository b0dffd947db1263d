import { setTimeout as sleep } from 'node:timers/promises'
import type { Change, Projection } from '../../../projections/projection.ts'
import { refusalOf, refusedEvents } from '../../../projections/refusedEvents.ts'
import { closeToken, closeWithoutHash, replaceByClosed, tokens } from '../../../projections/tokens.ts'
import { DamagedError } from '../../domain/errors.ts'
import { isOfToken, tokenIdOf } from '../../domain/streams.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { createChanges, type Projected } from './changes.ts'
import { DeposedError, RefusedChangeError, StoreUnavailableError } from '../ports/errors.ts'
import type { ReadModel } from '../ports/readModel.ts'
import type { Step } from '../ports/checkpoints.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { createAlarm, usesIn } from './refusals.ts'

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
   * @throws StoreUnavailableError, DeposedError, DamagedError as `ReadModel.apply`; without a step, which a request waits
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

/** An error that nobody knows passes by itself or does not: after so many tries it is taken for one that does not. */
const TRIES = 5
const FIRST_PAUSE_MS = 100

export function createApplier({ target, projections, telemetry, laterOwner }: Deps): Applier {
  const alarm = createAlarm(telemetry)
  const changesOf = createChanges(projections, telemetry, alarm)
  const fills = (wanted: Projection): boolean => projections.some(({ name }) => name === wanted.name)
  /** By collection the last change that was taken: taken again it changes nothing, and shows that the store works. */
  const proofs = new Map<string, Change>()

  /** One batch, of which the store does not take all. */
  function apart(step: Step | undefined) {
    // Of pieces no checkpoint is moved: that comes when all of them are through.
    const piece = step && { from: step.from, to: step.from }
    /** Reasons by position. */
    const refused = new Map<string, string>()
    const closed = new Set<string>()

    async function take(changes: readonly Change[]): Promise<void> {
      await target.apply(changes, piece)
      changes.forEach(prove)
    }

    /** Halves until the one is found. In order: a bucket does not take what came before what it has. */
    async function takeAll({ changes, sources }: Pick<Projected, 'changes' | 'sources'>): Promise<void> {
      if (changes.length === 1) return takeOne(changes[0] as Change, sources[0] as StoredEvent)
      const middle = changes.length >> 1
      for (const [from, to] of [
        [0, middle],
        [middle, changes.length],
      ]) {
        const half = { changes: changes.slice(from, to), sources: sources.slice(from, to) }
        try {
          await take(half.changes)
        } catch (error) {
          if (!mayLast(error, step)) throw error
          await takeAll(half)
        }
      }
    }

    async function takeOne(change: Change, event: StoredEvent): Promise<void> {
      const isKnown = refused.has(event.position)
      const refusal = await refusalIn([change], {
        presumed: fills(refusedEvents),
        tries: isKnown ? 1 : TRIES,
      })
      if (!refusal) return
      const owner = refusal.kind === 'taken' ? await laterOwner?.(hashIn(change), event) : null
      if (!owner || refused.has(owner.position)) return refuse(event, refusal, change)
      await refuse(owner, refusal)
      await takeOne(change, event)
    }

    /**
     * @param presumed where nothing has shown yet that the store works, what is written next will
     * @returns null if the changes were taken. @throws an outage, also one that looks like a refusal
     */
    async function refusalIn(
      changes: readonly Change[],
      { presumed = false, tries = TRIES } = {},
    ): Promise<RefusedChangeError | null> {
      for (let attempt = 1; ; attempt++) {
        try {
          await take(changes)
          return null
        } catch (error) {
          if (error instanceof RefusedChangeError) return error
          if (!mayLast(error, step)) throw error
          await sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1))
          const proof = proofs.get(changes[0]?.collection ?? '') ?? [...proofs.values()].at(-1)
          if (proof) await target.apply([proof], piece)
          else if (!presumed) throw error
          if (attempt === tries) return new RefusedChangeError('refused', (error as Error).message)
        }
      }
    }

    async function refuse(event: StoredEvent, refusal: RefusedChangeError, change?: Change): Promise<void> {
      if (refused.has(event.position)) return
      const isTaken = refusal.kind === 'taken'
      const reason = isTaken ? HASH_TAKEN : `the read model does not take it: ${refusal.message}`
      refused.set(event.position, reason)
      if (isOfToken(event)) await close(event, reason, isTaken, change)
      if (fills(refusedEvents)) await note(event, reason)
      alarm(event, { kind: isTaken ? 'hash' : 'store', reason, uses: usesIn(event) })
    }

    /** The first way that the store takes: with all that it said, closed; closed; nothing left but that it is closed. */
    async function close(
      event: StoredEvent,
      reason: string,
      isTaken: boolean,
      change?: Change,
    ): Promise<void> {
      closed.add(tokenIdOf(event.stream))
      if (!fills(tokens)) return
      const stop = (isTaken ? closeWithoutHash : closeToken)(event, reason)
      const rest = isTaken && change?.kind === 'put' ? [withoutHash(change)] : []
      for (const way of [[...rest, stop], [stop], [replaceByClosed(event, reason)]]) {
        if (!(await refusalIn(way))) return
      }
      const { stream, revision } = event
      telemetry.log.error({ stream, revision, reason }, 'the token of a refused event could not be closed')
    }

    async function note(event: StoredEvent, reason: string): Promise<void> {
      const refusal = await refusalIn([refusalOf(event, reason, usesIn(event))])
      if (refusal) telemetry.log.error({ err: refusal }, 'a refused event could not be noted down')
    }

    return { takeAll, refused, closed }
  }

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
        const { takeAll, refused, closed } = apart(step)
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

const HASH_TAKEN = 'another token has its hash'

/** May it be of the changes themselves? A request does not wait until that is known. */
const mayLast = (error: unknown, step: Step | undefined): boolean =>
  error instanceof RefusedChangeError ||
  (step !== undefined && !PASSING.some((kind) => error instanceof kind))

/** What passes by itself, and what is wrong with the store as a whole. */
const PASSING = [StoreUnavailableError, DeposedError, DamagedError]

type Put = Extract<Change, { kind: 'put' }>

function withoutHash(change: Put): Put {
  const { hash: _, ...fields } = change.fields
  return { ...change, fields }
}

function hashIn(change: Change): string {
  const hash = change.kind === 'put' && change.collection === tokens.name ? change.fields.hash : null
  return typeof hash === 'string' ? hash : ''
}
