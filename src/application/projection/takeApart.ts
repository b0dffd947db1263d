import { setTimeout as sleep } from 'node:timers/promises'
import type { Change, Projection } from '../../../projections/projection.ts'
import { refusalOf, refusedEvents } from '../../../projections/refusedEvents.ts'
import { closeToken, closeWithoutHash, replaceByClosed, tokens } from '../../../projections/tokens.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { isOfToken, tokenIdOf } from '../../domain/streams.ts'
import type { Step } from '../ports/checkpoints.ts'
import { LeadershipLostError, RefusedChangeError, StoreUnavailableError } from '../ports/errors.ts'
import type { ReadModel } from '../ports/readModel.ts'
import type { Logger } from '../ports/telemetry.ts'
import type { Projected } from './changes.ts'
import { type Alarm, usesIn } from './refusals.ts'

/** An error that nobody knows passes by itself or does not: after so many tries it is taken for one that does not. */
const TRIES = 5
const FIRST_PAUSE_MS = 100

interface Deps {
  target: Pick<ReadModel, 'apply'>
  fills: (projection: Projection) => boolean
  /** By collection the last change that was taken: taken again it changes nothing, and shows that the store works. */
  proofs: ReadonlyMap<string, Change>
  prove: (change: Change) => void
  alarm: Alarm
  log: Pick<Logger, 'error'>
  laterOwner: ((hash: string, event: StoredEvent) => Promise<StoredEvent | null>) | undefined
}

/** One batch, of which the store does not take all. */
export function takeApart(
  { target, fills, proofs, prove, alarm, log, laterOwner }: Deps,
  step: Step | undefined,
) {
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
  async function close(event: StoredEvent, reason: string, isTaken: boolean, change?: Change): Promise<void> {
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

/** May it be of the changes themselves? A request does not wait until that is known. */
export const mayLast = (error: unknown, step: Step | undefined): boolean =>
  error instanceof RefusedChangeError ||
  (step !== undefined && !PASSING.some((kind) => error instanceof kind))

/** What passes by itself, and what is wrong with the store as a whole. */
const PASSING = [StoreUnavailableError, LeadershipLostError, DamagedError]

type Put = Extract<Change, { kind: 'put' }>

function withoutHash(change: Put): Put {
  const { hash: _, ...fields } = change.fields
  return { ...change, fields }
}

function hashIn(change: Change): string {
  const hash = change.kind === 'put' && change.collection === tokens.name ? change.fields.hash : null
  return typeof hash === 'string' ? hash : ''
}
