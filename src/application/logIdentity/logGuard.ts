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
import { isKept, standingOf } from '../readModel/standing.ts'

export interface GuardTimes {
  /** How often the log is looked at. */
  everyMs: number
  /** A store that has just been opened again may answer oddly once. */
  againMs: number
  /**
   * A leader that was cut off from its cluster answers from what it had for some five seconds, while other processes
   * append to the next one: what they have projected then seems to be ahead of the log.
   */
  cutOffMs: number
}

const TIMES: GuardTimes = { everyMs: 1_000, againMs: 250, cutOffMs: 6_000 }

/**
 * Notices that the event store is not the one it was: an older log was put in its place, or another one, which may lack
 * a revocation that was acknowledged. From then on nothing is decided, until the right one is back.
 */
export interface LogGuard {
  start(): void
  stop(): Promise<void>
  /** Why nothing may be decided now; null while all is well, or nobody can tell. */
  flaw(): string | null
  /** The store, for those who decide and write: refuses while there is a flaw. */
  store: EventStore
  /** The same for what was projected from it. */
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
  /** Seen in the log by the last look. What is newer counts once the log has this one still. */
  let known: Checkpoint | null = null
  /** Of this process, acknowledged since. */
  let appended: Checkpoint | null = null
  let aheadSince: Instant | null = null

  /** @returns what is wrong, or null */
  async function compare(): Promise<string | null> {
    const newest = appended
    const own = await kinshipOf(store, [known, newest])
    if (own !== 'same') return own === 'ahead' ? SHORTER : ANOTHER
    known = later(known, newest)
    // How far the read model has come is what other processes know of the log. Its own outage is not this one's matter.
    const standing = await standingOf(readModel, projections).catch(() => new Map<Projection, null>())
    const projected = await kinshipOf(store, standing.values())
    if (projected !== 'ahead') aheadSince = null
    if (projected === 'other') return NOT_ITS_OWN
    if (projected === 'same') {
      known = [...standing.values()].reduce(later, known)
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
      log.error({ reason }, 'the event store is not the one that it was: nothing is decided any more')
    }
    flaw = wrong
  }

  let loss: string | null = null

  function tellLoss(): void {
    const reason = readModel.loss()
    if (reason !== null && loss === null)
      log.error({ reason }, 'the read model is not what it was: nothing is decided until it has caught up')
    if (reason === null && loss !== null) log.info({}, 'the read model has caught up')
    loss = reason
  }

  async function run(): Promise<void> {
    while (await sleep(times.everyMs, true, { signal, ref: false }).catch(() => false)) {
      tellLoss()
      // Nobody can tell while it is away.
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
        // An older log takes the first events of a stream as well as the right one.
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
