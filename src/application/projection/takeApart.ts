import { setTimeout as sleep } from 'node:timers/promises'
import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import { refusalOf, refusedEvents } from '../../../projections/refusedEvents.ts'
import { closeToken, closeWithoutHash, replaceByClosed, tokens } from '../../../projections/tokens.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { isOfToken, tokenIdOf } from '../../domain/streams.ts'
import { usesIn } from '../../domain/usageEntries.ts'
import type { Step } from '../ports/checkpoints.ts'
import { LeadershipLostError, RefusedChangeError, StoreUnavailableError } from '../ports/errors.ts'
import type { ProjectionTarget } from '../ports/readModel.ts'
import type { Logger } from '../ports/telemetry.ts'
import type { Projected } from './changes.ts'
import type { Alarm } from './refusals.ts'

/** After so many tries, an unknown error is taken for a refusal, which will not pass by itself. */
const TRIES = 5
/** The pause after the first try; it doubles after each further one. */
const FIRST_PAUSE_MS = 100

interface Deps {
  target: Pick<ProjectionTarget, 'apply'>
  fills: (projection: Projection) => boolean
  /** The last change that each collection took. Applying it again changes nothing, and proves that the store works. */
  proofs: ReadonlyMap<string, DocumentChange>
  prove: (change: DocumentChange) => void
  alarm: Alarm
  log: Pick<Logger, 'error'>
  laterOwner: ((hash: string, event: StoredEvent) => Promise<StoredEvent | null>) | undefined
}

/** Applies a batch of which the store refuses some change: finds that change, and applies all the others. */
export function takeApart(
  { target, fills, proofs, prove, alarm, log, laterOwner }: Deps,
  step: Step | undefined,
) {
  // While parts of the batch are applied, no checkpoint moves. It moves when all of them are through.
  const piece = step && { from: step.from, to: step.from }
  /** Refused events: their positions, each with the reason. */
  const refused = new Map<string, string>()
  const closed = new Set<string>()

  async function take(changes: readonly DocumentChange[]): Promise<void> {
    await target.apply(changes, piece)
    changes.forEach(prove)
  }

  /** Halves the batch until the refused change is found. Order matters: a bucket ignores events before its position. */
  async function takeAll({ changes, sources }: Pick<Projected, 'changes' | 'sources'>): Promise<void> {
    if (changes.length === 1) return takeOne(changes[0] as DocumentChange, sources[0] as StoredEvent)
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

  async function takeOne(change: DocumentChange, event: StoredEvent): Promise<void> {
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
   * @param presumed assume that the store works if there is no proof yet, since the refusal is about to be written
   *   there, which will show it
   * @returns null if the changes were taken
   * @throws an outage, also one that looks like a refusal
   */
  async function refusalIn(
    changes: readonly DocumentChange[],
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

  async function refuse(
    event: StoredEvent,
    refusal: RefusedChangeError,
    change?: DocumentChange,
  ): Promise<void> {
    if (refused.has(event.position)) return
    const isTaken = refusal.kind === 'taken'
    const reason = isTaken ? HASH_TAKEN : `the read model does not take it: ${refusal.message}`
    refused.set(event.position, reason)
    if (isOfToken(event)) await close(event, reason, isTaken, change)
    if (fills(refusedEvents)) await note(event, reason)
    alarm(event, { kind: isTaken ? 'hash' : 'store', reason, uses: usesIn(event) })
  }

  /**
   * Closes a token in the first way that the store takes: with the rest of the change, by itself, or in place of the
   * whole document.
   */
  async function close(
    event: StoredEvent,
    reason: string,
    isTaken: boolean,
    change?: DocumentChange,
  ): Promise<void> {
    closed.add(tokenIdOf(event.stream))
    if (!fills(tokens)) return
    const stop = (isTaken ? closeWithoutHash : closeToken)(event, reason)
    const rest = isTaken && change?.kind === 'put' ? [withoutHash(change)] : []
    for (const way of [[...rest, stop], [stop], [replaceByClosed(event, reason)]]) {
      if (!(await refusalIn(way))) return
    }
    const { stream, revision } = event
    log.error({ stream, revision, reason }, 'the token of a refused event could not be closed')
  }

  async function note(event: StoredEvent, reason: string): Promise<void> {
    const refusal = await refusalIn([refusalOf(event, reason, usesIn(event))])
    if (refusal) log.error({ err: refusal }, 'a refused event could not be noted down')
  }

  return { takeAll, refused, closed }
}

export const HASH_TAKEN = 'another token has its hash'

/**
 * May the error be due to the changes themselves? A request (no step) does not wait until an unknown error shows it.
 */
export const mayLast = (error: unknown, step: Step | undefined): boolean =>
  error instanceof RefusedChangeError ||
  (step !== undefined && !PASSING.some((kind) => error instanceof kind))

/** Errors that pass by themselves or concern the store as a whole, and so not the changes. */
const PASSING = [StoreUnavailableError, LeadershipLostError, DamagedError]

type Put = Extract<DocumentChange, { kind: 'put' }>

function withoutHash(change: Put): Put {
  const { hash: _, ...fields } = change.fields
  return { ...change, fields }
}

function hashIn(change: DocumentChange): string {
  const hash = change.kind === 'put' && change.collection === tokens.name ? change.fields.hash : null
  return typeof hash === 'string' ? hash : ''
}
