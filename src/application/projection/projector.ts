import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { closeToken } from '../../../projections/tokens.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { StoredEvent } from '../../domain/events.ts'
import { isSignal, STREAMS, tokenStream } from '../../domain/streams.ts'
import { type Applied, createApplier } from './applier.ts'
import { createAccounts } from '../eventLog/accounts.ts'
import { createInspector } from '../eventLog/chainInspector.ts'
import { piecesOf } from '../eventLog/pieces.ts'
import { createOwners } from './owners.ts'
import { untilProjected } from './untilProjected.ts'
import { inspectAll } from '../eventLog/logReader.ts'
import { LeadershipLostError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Follower, Lease } from '../ports/sharing.ts'
import type { ReadModel } from '../ports/readModel.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { assertSameLog, ForeignLogError, hasReached } from '../logIdentity/sameLog.ts'
import { advance, lowestCheckpoint, checkpointsOf } from '../readModel/checkpoints.ts'
import type { Checkpoints, Step } from '../ports/checkpoints.ts'

/** How much is applied at once, by weight: what holds the event loop for some milliseconds. */
const AT_ONCE = 200
/** The pause between tries doubles from the first value to the longest. */
const RETRY_MS = { first: 50, longest: 2000 }
/** How often a process asks for the lease, or renews it. */
const RENEW_MS = 1000
/** A leader that does not renew its lease for this long has lost it. */
const TTL_MS = 5000
/** How often a start that has to wait reports that it is still waiting. */
const REPORT_MS = 10_000

export interface Projector {
  /**
   * Applies events to the read model, even if other processes apply them as well. A command calls this with the events
   * that it has written.
   * @throws StoreUnavailableError; DamagedError one of them cannot be applied, so its token is closed
   */
  apply(events: readonly StoredEvent[]): Promise<void>
  /** Closes a token for good that is damaged although none of its events shows it. @throws as `apply` */
  close(tokenId: string, reason: string): Promise<void>
  /**
   * Starts to take part: of the processes that share the read model, one leads at a time, and follows the log. Resolves
   * when the read model has caught up, since until then it may lack a revocation. If this process leads, that means the
   * end of the log as it is now; otherwise, the end that the log had when this process began to wait.
   * @throws ForeignLogError the read model was filled from another log
   */
  start(): Promise<void>
  /** Follows for up to two seconds to the end of the log as it is now; then stops, and releases the lease. */
  stop(): Promise<void>
  /** Seconds since the read model was last known to have caught up with the log; 0 while it has. */
  lag(): number
  /** Does this process lead, and so follow the log? */
  leads(): boolean
}

interface Dependencies {
  store: EventStore
  readModel: ReadModel
  projections: readonly Projection[]
  telemetry: Telemetry
  /** Identifies this start of this process among those that share the read model. */
  id: string
  /** Called after tokens have changed in the read model, and before the change is acknowledged to anybody. */
  onChanged: (tokenIds: ReadonlySet<string>) => void
  /** Hears what has been applied, and of the events of one more stream. Default: nobody needs to. */
  follower?: Follower & { stream: string }
}

export function createProjector({
  store,
  readModel,
  projections,
  telemetry,
  id,
  onChanged,
  follower,
}: Dependencies): Projector {
  const inspect = createInspector(store)
  const withAccounts = createAccounts(store)
  const { laterOwner } = createOwners(store, readModel)
  const applier = createApplier({ target: readModel, projections, telemetry, laterOwner })
  /** Processes with the same versions of all projections share one lease; others fill documents of their own beside. */
  const group = projections.map(({ name, version }) => `${name}_v${version}`).join(' ')
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let term: number | null = null
  let announcedTerm: number | null = null
  let hasCaughtUp = false
  let behindSince: number | null = performance.now()
  /** The end of the log when this process began to wait for the read model; null once it has waited long enough. */
  let goal: { end: string | null; losses: number } | null = { end: null, losses: -1 }

  async function apply(events: readonly StoredEvent[], step?: Step): Promise<Applied> {
    const started = performance.now()
    const applied = await applier.apply(await withAccounts(events), await inspectAll(inspect, events), step)
    if (applied.changed.size > 0) onChanged(applied.changed)
    telemetry.projected((performance.now() - started) / 1000, events.length)
    return applied
  }

  async function applyNow(events: readonly StoredEvent[]): Promise<void> {
    const { refused } = await apply(events)
    for (const [{ stream, revision }, reason] of refused)
      throw new DamagedError(`revision ${revision} of ${stream} cannot be applied: ${reason}`)
  }

  async function close(tokenId: string, reason: string): Promise<void> {
    await readModel.apply([closeToken({ stream: tokenStream(tokenId), revision: 0 }, reason)])
    onChanged(new Set([tokenId]))
  }

  async function untilDone<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let pause = RETRY_MS.first; ; pause = Math.min(pause * 2, RETRY_MS.longest)) {
      try {
        return await work()
      } catch (err) {
        // An outage ends by itself. Damage, lost leadership and a foreign log do not, so trying again would not help.
        if (err instanceof DamagedError || hasEnded(err)) throw err
        telemetry.log.warn({ err }, 'projection failed, trying again')
        await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal })
      }
    }
  }

  /** Makes the documents' collections if they are missing. @returns their checkpoints, which are in this log */
  async function takeUp(): Promise<Checkpoints> {
    await readModel.open(projections)
    const checkpoints = await checkpointsOf(readModel, projections)
    await assertSameLog(store, checkpoints, readModel.remedy)
    return checkpoints
  }

  /** Follows the log until leadership is lost or `signal` is aborted. */
  async function follow(signal: AbortSignal, onCaughtUp: () => void): Promise<void> {
    const losses = readModel.losses()
    let checkpoints = await untilDone(takeUp, signal)
    follower?.begins()
    let isKnownLog = false
    for await (const { events, caughtUp, asOf = null, interrupted = false } of store.subscribe(
      lowestCheckpoint(checkpoints)?.position ?? null,
      follower ? [...STREAMS, follower.stream] : STREAMS,
      signal,
    )) {
      behindSince ??= performance.now()
      // A server that was out of reach may have come back with another log.
      if (!isKnownLog && !interrupted)
        await untilDone(() => assertSameLog(store, checkpoints, readModel.remedy), signal)
      isKnownLog = !interrupted
      if (interrupted) follower?.begins()
      const facts = events.filter((event) => !isSignal(event))
      for (const [from, to] of piecesOf(facts, AT_ONCE)) {
        const piece = facts.slice(from, to)
        const step = { from: checkpoints, to: advance(checkpoints, piece) }
        await untilDone(() => apply(piece, step), signal)
        checkpoints = step.to
      }
      follower?.applied(events)
      if (!caughtUp) continue
      if (!hasCaughtUp) await untilDone(() => declareCaughtUp(losses), signal)
      behindSince = asOf
      if (!hasCaughtUp) {
        hasCaughtUp = true
        // Other processes wait until the leader says that it has caught up: say so at once, not at the next renewal.
        await requestLease()
      }
      onCaughtUp()
    }
  }

  async function declareCaughtUp(losses: number): Promise<void> {
    await readModel.trust(losses)
    await readModel.publish(projections)
    goal = null
  }

  /** @returns null if nobody knows who has the lease */
  async function requestLease(): Promise<Lease | null> {
    try {
      return await readModel.acquireLease(group, { id, ttlMs: TTL_MS, lag: lag(), caughtUp: hasCaughtUp })
    } catch (err) {
      telemetry.log.warn({ err }, 'the lease of the projectors could not be requested')
      return null
    }
  }

  /** Follows the log for one term, and renews the lease meanwhile. */
  async function leadFor(inTerm: number, onCaughtUp: () => void): Promise<void> {
    // A log that is not the right one ends a term at once, again and again.
    if (inTerm !== announcedTerm) telemetry.log.info({ term: inTerm }, 'fills the read model from the log')
    announcedTerm = inTerm
    const over = new AbortController()
    const signal = AbortSignal.any([over.signal, stopping.signal])
    const keeping = keepLease(inTerm, over, signal)
    term = inTerm
    try {
      await follow(signal, onCaughtUp)
    } catch (error) {
      if (!signal.aborted && !hasEnded(error)) throw error
    } finally {
      term = null
      hasCaughtUp = false
      behindSince ??= performance.now()
      over.abort()
      await keeping
    }
  }

  async function keepLease(inTerm: number, over: AbortController, signal: AbortSignal): Promise<void> {
    const losses = readModel.losses()
    while (await pause(RENEW_MS, signal)) {
      const lease = await requestLease()
      // If nobody knows who leads, go on: should another process lead, a checkpoint that does not fit will show it.
      if (lease && lease.term !== inTerm) over.abort()
      // Documents that were lost have to be filled again, from their checkpoint as it is now.
      if (readModel.losses() !== losses) over.abort()
    }
  }

  /** Another process leads. Takes over what it says of its lag, and finds out whether the read model may be used. */
  async function waitForLeader(leader: Lease & { term: null }, onCaughtUp: () => void): Promise<void> {
    behindSince = performance.now() - leader.lag * 1000
    if (goal === null && readModel.loss() === null) return
    try {
      if (goal?.losses !== readModel.losses()) {
        goal = { end: await store.head(), losses: readModel.losses() }
      }
      if (!leader.caughtUp || !(await readModel.isPublished(projections))) return
      const at = lowestCheckpoint(await checkpointsOf(readModel, projections))
      if (!(await hasReached(store, at, goal.end))) return
      await readModel.trust(goal.losses)
      goal = null
      onCaughtUp()
    } catch (err) {
      telemetry.log.warn({ err }, 'how far the read model has come could not be found out')
    }
  }

  async function run(onCaughtUp: () => void): Promise<void> {
    do {
      const lease = await requestLease()
      if (lease?.term === null) await waitForLeader(lease, onCaughtUp)
      else if (lease) await leadFor(lease.term, onCaughtUp)
    } while (await pause(RENEW_MS, stopping.signal))
  }

  const lag = (): number => (behindSince === null ? 0 : (performance.now() - behindSince) / 1000)

  return {
    apply: applyNow,
    close,

    async start() {
      await takeUp()
      const waiting = setInterval(
        () =>
          telemetry.log.info({ leads: term !== null }, 'the read model has not caught up with the log yet'),
        REPORT_MS,
      )
      const caughtUp = new Promise<void>((resolve, reject) => {
        running = run(resolve).catch((error: unknown) => {
          // From here on the read model falls behind, and `lag` has to show it.
          behindSince ??= performance.now()
          telemetry.log.error({ err: error }, 'projector ended')
          reject(error)
        })
      })
      await caughtUp.finally(() => clearInterval(waiting))
    },

    async stop() {
      if (term !== null) await untilProjected({ store, readModel, projections, telemetry })
      stopping.abort()
      await running
      await readModel
        .releaseLease(group, id)
        .catch((err: unknown) => telemetry.log.warn({ err }, 'the lease could not be released'))
    },

    lag,
    leads: () => term !== null,
  }
}

/** @returns false if it was aborted */
const pause = (milliseconds: number, signal: AbortSignal): Promise<boolean> =>
  sleep(milliseconds, true, { signal, ref: false }).catch(() => false)

/** Does the error end this term? Whoever leads next starts from the checkpoints as they are then. */
const hasEnded = (error: unknown): boolean =>
  error instanceof LeadershipLostError || error instanceof ForeignLogError
