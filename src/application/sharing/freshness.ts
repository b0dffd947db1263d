import { USAGE_STREAM } from '../../domain/streams.ts'
import { type Instant, now as readClocks } from '../ports/clock.ts'
import { ConflictError, StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Follower } from '../ports/sharing.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { createHeart, type HeartDependencies } from './heart.ts'
import { createProofs, type Proofs, TRUSTED_MS } from './proofs.ts'
import { createWaiters } from './waiters.ts'

/**
 * How far a read model that belongs to one process can be behind what other processes have written. The proof that it is
 * not behind is an append of this process: once the server has acknowledged it and it has been applied here, everything
 * is applied that was acknowledged to anybody before it began. A read of the log would prove nothing, since a leader that
 * was cut off from its cluster still answers it. An append needs the cluster's majority.
 */
export interface Freshness {
  /** Is there a proof that is young enough? A look at the clocks: `performance.now()` stands still in a suspended
   * machine, though not in a stopped process, and the time of day may be set, so the greater age counts. */
  isFresh(): boolean
  /** @throws StoreUnavailableError there is no such proof, and none could be had */
  fresh(): Promise<void>
  /**
   * For a look-up of a credential: resolves with a proof that begins after this call; all who wait share it.
   * @throws StoreUnavailableError
   */
  provenNow(): Promise<void>
  /** The same for any other question, which may wait for as long as a change does. What it is told is as of this call. */
  provenAsAsked(): Promise<void>
  /** The store, of which the appends of usage are proofs, too. */
  noticing(store: EventStore): EventStore
  /** To be told by whoever applies the events of the log, those of one more stream included. */
  follower: Follower & { stream: string }
  /** Has the last attempt failed, with no proof since? */
  isFailing(): boolean
  /** Seconds since the newest proof began. */
  age(): number
  heartbeats(): number
  stop(): Promise<void>
}

/** How old a proof may be that a look-up has waited for. */
const YOUNG_MS = 1_000
/** How long a look-up waits for a proof: one that takes longer is trusted no more. In milliseconds, as all here. */
const PATIENCE_MS = 2_000
/** From a failure to the next try, where nobody asks. */
const RETRY_MS = 1_000

interface Dependencies extends Omit<HeartDependencies, 'now'> {
  /** How long a change waits for its event store, in milliseconds. */
  changeMs: number
  telemetry: Pick<Telemetry, 'log'>
  now?: () => Instant
}

export function createFreshness({ changeMs, telemetry, now = readClocks, ...deps }: Dependencies): Freshness {
  const { log } = telemetry
  const heart = createHeart({ ...deps, now })
  const waiters = createWaiters()
  const stopping = new AbortController()
  const { signal } = stopping
  const proofs = createProofs(now, onProven)
  /** When the heartbeats under way began; null for one that may not begin yet. */
  const beating = new Map<Promise<void>, Instant | null>()
  let isFailing = false
  let retry: NodeJS.Timeout | undefined

  const isFresh = (): boolean => proofs.age() < TRUSTED_MS

  function onProven(): void {
    // A heartbeat that was sent again proves something old.
    if (isFailing && isFresh()) {
      log.info({}, 'the read model is known to be up to date again')
      isFailing = false
    }
    waiters.serve()
    beatIfWanted()
  }

  function fail(err: unknown): Error {
    if (!signal.aborted) {
      if (!isFailing) log.warn({ err }, 'whether the read model is up to date cannot be found out')
      isFailing = true
      retryLater()
    }
    return new StoreUnavailableError('nobody knows whether the read model is up to date', { cause: err })
  }

  /** Who is not ready is not asked any more, and would never know that it could be. */
  function retryLater(): void {
    if (!isFailing || signal.aborted) return
    retry ??= setTimeout(() => {
      retry = undefined
      if (isFailing) beat()
    }, RETRY_MS).unref()
  }

  function beat(): void {
    if (!heart.isFree() || signal.aborted) return
    const one = beatOnce((begun) => void beating.set(one, begun)).finally(() => {
      beating.delete(one)
      retryLater()
      beatIfWanted()
    })
    beating.set(one, null)
  }

  async function beatOnce(onBegun: (begun: Instant) => void): Promise<void> {
    const started = now()
    try {
      proofs.acknowledged(await heart.beat(signal, onBegun))
    } catch (error) {
      // What was acknowledged before was written to another log.
      if (error instanceof ConflictError) proofs.forget()
      waiters.refuse(fail(error), started)
    }
  }

  /** Is there a heartbeat, or another append, that will show what was there at this moment? */
  const isComing = (since: Instant): boolean =>
    proofs.isComingSince(since) ||
    [...beating.values()].some(
      (begun) => begun === null || (begun.monotonic > since.monotonic && proofs.isValid(begun)),
    )

  function beatIfWanted(): void {
    const since = waiters.since()
    if (since !== null && !isComing(since)) beat()
  }

  function proven(since: Instant, patienceMs: number, isServed: () => boolean): Promise<void> {
    if (isServed()) return Promise.resolve()
    const late = () => fail(new Error(`no proof within ${patienceMs} ms`))
    const waiting = waiters.wait({ since, patienceMs, isServed, late })
    if (!isComing(since)) beat()
    return waiting
  }

  /** For a look-up, which is worth nothing with a proof that is old by either clock. */
  const provenForLookUp = (since: Instant): Promise<void> =>
    proven(since, PATIENCE_MS, () => proofs.isSince(since) && isFresh())

  return {
    isFresh,

    async fresh() {
      if (isFresh()) return
      const { monotonic, wall } = now()
      await provenForLookUp({ monotonic: monotonic - YOUNG_MS, wall: wall - YOUNG_MS })
    },

    provenNow: () => provenForLookUp(now()),

    provenAsAsked() {
      const asked = now()
      return proven(asked, changeMs, () => proofs.isSince(asked))
    },

    noticing: (store) => noticingUsage(store, proofs, now),

    follower: {
      stream: heart.prefix,
      begins() {
        proofs.forget()
        beatIfWanted()
      },
      applied(events) {
        const last = events.at(-1)
        if (last) proofs.applied(last.position)
      },
    },

    isFailing: () => isFailing,
    age: () => proofs.age() / 1000,
    heartbeats: heart.beats,

    async stop() {
      stopping.abort()
      clearTimeout(retry)
      waiters.refuse(fail(new Error('the process stops')))
      await Promise.all(beating.keys())
    },
  }
}

function noticingUsage(store: EventStore, proofs: Proofs, now: () => Instant): EventStore {
  /** Of appends with an unknown outcome: an answer to the same one, sent again, may be that of the first time. */
  const begunBefore = new Map<string, Instant>()
  return {
    ...store,
    async append(stream, expected, events) {
      if (!stream.startsWith(USAGE_STREAM)) return store.append(stream, expected, events)
      const begun = begunBefore.get(stream) ?? now()
      try {
        const done = await store.append(stream, expected, events)
        begunBefore.delete(stream)
        proofs.acknowledged({ begun, position: done.position })
        return done
      } catch (error) {
        if (error instanceof UnknownOutcomeError) begunBefore.set(stream, begun)
        // What was sent before is not sent to this stream again.
        if (error instanceof ConflictError) {
          begunBefore.delete(stream)
          // The stream is of this process alone: another log has taken the place of the one that had its events.
          proofs.forget()
        }
        throw error
      }
    },
  }
}
