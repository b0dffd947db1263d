import { USAGE_STREAM } from '../../domain/streams.ts'
import { type Instant, now as readClocks } from '../ports/clock.ts'
import { ConflictError, StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Follower } from '../ports/sharing.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { createHeart, type HeartDependencies } from './heart.ts'
import { createProofs, type Proofs, TRUSTED_MS } from './proofs.ts'

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
  /** Resolves with a proof that begins after this call; all who wait share it. @throws StoreUnavailableError */
  provenNow(): Promise<void>
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
/** How long a look-up waits for a proof. */
const PATIENCE_MS = 1_000
/** From a failure to the next try, where nobody asks. */
const RETRY_MS = 1_000

interface Dependencies extends Omit<HeartDependencies, 'now'> {
  telemetry: Pick<Telemetry, 'log'>
  now?: () => Instant
}

interface Waiter {
  since: Instant
  resolve(): void
  reject(error: Error): void
}

export function createFreshness({ telemetry, now = readClocks, ...deps }: Dependencies): Freshness {
  const { log } = telemetry
  const heart = createHeart({ ...deps, now })
  const waiters = new Set<Waiter>()
  const stopping = new AbortController()
  const { signal } = stopping
  const proofs = createProofs(now, onProven)
  let [isBeating, isFailing] = [false, false]
  let beating: Promise<void> = Promise.resolve()
  let retry: NodeJS.Timeout | undefined

  function onProven(): void {
    if (isFailing) log.info({}, 'the read model is known to be up to date again')
    isFailing = false
    for (const waiter of waiters) if (proofs.isSince(waiter.since)) waiter.resolve()
  }

  function fail(err: unknown, concerns: (waiter: Waiter) => boolean): void {
    const error = new StoreUnavailableError('nobody knows whether the read model is up to date', {
      cause: err,
    })
    for (const waiter of waiters) if (concerns(waiter)) waiter.reject(error)
    if (signal.aborted) return
    if (!isFailing) log.warn({ err }, 'whether the read model is up to date cannot be found out')
    isFailing = true
    // Who is not ready is not asked any more, and would never know that it could be.
    clearTimeout(retry)
    retry = setTimeout(keepBeating, RETRY_MS).unref()
  }

  /** @returns the moment before which whoever has asked is served, or knows that it is not */
  async function beatOnce(): Promise<Instant> {
    const started = now()
    try {
      const proof = await heart.beat(signal)
      proofs.acknowledged(proof)
      return proof.begun
    } catch (error) {
      fail(error, ({ since }) => since.monotonic < started.monotonic)
      return started
    }
  }

  /** One heartbeat after the other, while somebody waits for one that has not begun. */
  async function beat(): Promise<void> {
    const isWanted = (served: Instant) =>
      [...waiters].some(({ since }) => since.monotonic >= served.monotonic)
    let served: Instant
    do served = await beatOnce()
    while (isWanted(served) && !signal.aborted)
    isBeating = false
  }

  function keepBeating(): void {
    if (isBeating || signal.aborted) return
    isBeating = true
    beating = beat()
  }

  function provenSince(since: Instant): Promise<void> {
    if (proofs.isSince(since)) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const late = () => fail(new Error(`no proof within ${PATIENCE_MS} ms`), (one) => one === waiter)
      const timer = setTimeout(late, PATIENCE_MS)
      const waiter: Waiter = {
        since,
        resolve: () => settle(resolve),
        reject: (error) => settle(() => reject(error)),
      }
      function settle(how: () => void): void {
        clearTimeout(timer)
        waiters.delete(waiter)
        how()
      }
      waiters.add(waiter)
      keepBeating()
    })
  }

  const isFresh = (): boolean => proofs.age() < TRUSTED_MS

  return {
    isFresh,

    async fresh() {
      if (isFresh()) return
      const { monotonic, wall } = now()
      await provenSince({ monotonic: monotonic - YOUNG_MS, wall: wall - YOUNG_MS })
    },

    provenNow: () => provenSince(now()),
    noticing: (store) => noticingUsage(store, proofs, now),

    follower: {
      stream: heart.stream,
      begins: proofs.forget,
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
      fail(new Error('the process stops'), () => true)
      await beating
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
        if (error instanceof ConflictError) begunBefore.delete(stream)
        throw error
      }
    },
  }
}
