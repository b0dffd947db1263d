import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { storedChain } from '../../domain/chain.ts'
import type { NewEvent } from '../../domain/events.ts'
import { USAGE_STREAM } from '../../domain/streams.ts'
import { ageOf, type Instant, now } from '../ports/clock.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { ReadModel } from '../ports/readModel.ts'
import { StoreReplacedError, StoreUnavailableError } from '../ports/errors.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import type { Watch } from '../ports/sharing.ts'
import { kinshipOf, whatToDo } from './sameLog.ts'
import type { Checkpoint } from '../ports/checkpoints.ts'
import { isKept, checkpointsOf } from '../readModel/checkpoints.ts'

/** All in milliseconds. */
export interface GuardTimes {
  /** How often the log is looked at. */
  everyMs: number
  /** The pause before a first bad answer is checked again: a store that has just been opened may give one odd answer. */
  againMs: number
  /**
   * For so long the read model may seem to be ahead of the log. An EventStoreDB leader that was cut off from its cluster
   * answers from what it has for some five seconds, while other processes already append to the next leader, and project.
   */
  cutOffMs: number
}

const TIMES: GuardTimes = { everyMs: 1_000, againMs: 250, cutOffMs: 6_000 }

/**
 * Notices that the event store was replaced by an older log or by another one, which may lack a revocation that was
 * acknowledged. From then on every decision is refused, until the right event store is back.
 */
export interface LogGuard {
  start(): void
  stop(): Promise<void>
  /**
   * Why nothing may be decided now; null while all is well, and while nobody knows since the store cannot be reached.
   */
  flaw(): string | null
  /** The event store for use cases that decide and write. It refuses while there is a flaw. */
  store: EventStore
  /** The read model, which refuses as well. */
  readModel: ReadModel
}

interface Dependencies {
  store: EventStore
  readModel: ReadModel
  projections: readonly Projection[]
  log: Telemetry['log']
  times?: GuardTimes
}

const SHORTER = 'the event store ends before an event that was in it'
const ANOTHER = 'the event store has another event, or none, where one is known to have been'
const NOT_ITS_OWN = 'the read model was filled from another event store, or from another branch of this one'

export function createLogGuard({
  store,
  readModel,
  projections,
  log,
  times = TIMES,
}: Dependencies): LogGuard {
  const stopping = new AbortController()
  const { signal } = stopping
  let running: Promise<void> = Promise.resolve()
  let flaw: string | null = null
  /** The newest event that the last look has found in the log. It has to be there still at the next look. */
  let known: Checkpoint | null = null
  /** The newest event that this process has appended since. */
  let appended: Checkpoint | null = null
  let aheadSince: Instant | null = null

  /** @returns what is wrong, or null */
  async function compare(): Promise<string | null> {
    const newest = appended
    const own = await kinshipOf(store, [known, newest])
    if (own !== 'same') return own === 'ahead' ? SHORTER : ANOTHER
    known = later(known, newest)
    // The checkpoints show what other processes have seen of the log. If the read model is down, this check is left
    // out.
    const checkpoints = await checkpointsOf(readModel, projections).catch(() => new Map<Projection, null>())
    const projected = await kinshipOf(store, checkpoints.values())
    if (projected !== 'ahead') aheadSince = null
    if (projected === 'other') return NOT_ITS_OWN
    if (projected === 'same') {
      known = [...checkpoints.values()].reduce(later, known)
      return null
    }
    aheadSince ??= now()
    return ageOf(aheadSince) > times.cutOffMs ? SHORTER : null
  }

  const found = (): Promise<string | null> =>
    compare().catch((error: unknown) => {
      if (error instanceof StoreReplacedError) return error.message
      throw error
    })

  async function look(): Promise<void> {
    let wrong = await found()
    if (wrong !== null && flaw === null) {
      await sleep(times.againMs, undefined, { signal })
      wrong = await found()
    }
    if (wrong === null && flaw !== null) log.info({}, 'the event store is again the one that it was')
    if (wrong !== null && flaw === null) {
      const reason = `${wrong}. ${whatToDo(readModel.remedy)}`
      log.error({ reason }, 'the event store is not the one that it was: nothing is decided until it is')
    }
    flaw = wrong
  }

  let loss: string | null = null

  function reportLoss(): void {
    const reason = readModel.loss()
    if (reason !== null && loss === null)
      log.error({ reason }, 'the read model is not what it was: nothing is decided until it has caught up')
    if (reason === null && loss !== null) log.info({}, 'the read model has caught up')
    loss = reason
  }

  async function run(): Promise<void> {
    while (await sleep(times.everyMs, true, { signal, ref: false }).catch(() => false)) {
      reportLoss()
      // While the store cannot be reached nothing can be found out, and `flaw` stays as it is.
      await look().catch(() => {})
    }
  }

  function assertSound(): void {
    if (flaw !== null) throw new StoreUnavailableError('the event store was replaced')
  }

  function remember(stream: string, position: string, last: NewEvent): void {
    const place = { position, id: last.id, link: storedChain(last) }
    if (appended !== null && appended.position >= position) return
    appended = { ...place, kept: isKept({ stream }) ? place : ((appended ?? known)?.kept ?? null) }
  }

  const guarded =
    <A extends unknown[], T>(work: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      assertSound()
      const answer = await work(...args)
      assertSound()
      return answer
    }

  const watched = (watch: Watch): Watch => ({ ...watch, isLive: () => flaw === null && watch.isLive() })

  return {
    start() {
      running = run()
    },
    async stop() {
      stopping.abort()
      await running
    },
    flaw: () => flaw,

    store: {
      ...store,
      async append(stream, expected, events) {
        // The expected revision is no protection here: an older log would take the first events of a stream as well.
        if (expected === 'no_stream' && stream.startsWith(USAGE_STREAM)) await look()
        assertSound()
        const done = await store.append(stream, expected, events)
        remember(stream, done.position, events.at(-1) as NewEvent)
        return done
      },
      readStream: guarded(store.readStream),
      ...(store.sweep && { sweep: guarded(store.sweep) }),
    },

    readModel: {
      ...readModel,
      get: guarded(readModel.get),
      find: guarded(readModel.find),
      count: guarded(readModel.count),
      watch: (...args) => watched(readModel.watch(...args)),
    },
  }
}

const later = (a: Checkpoint | null, b: Checkpoint | null): Checkpoint | null =>
  a === null || (b !== null && b.position > a.position) ? b : a
