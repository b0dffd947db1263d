import { setTimeout as sleep } from 'node:timers/promises'
import type { Ids } from '../eventLog/ids.ts'
import { LONGEST_CALL_MS } from '../eventLog/patience.ts'
import { ageOf, type Clock, type Instant, now as readClocks } from '../ports/clock.ts'
import { LeadershipLostError, StoreUnavailableError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { followLease } from './leaseFollower.ts'
import { isAnswered, isRival, join, type StartTimes, whatToDo } from './leaseStart.ts'
import { createLeaseStream, type LeaseStream } from './leaseStream.ts'
import { createVigil } from './vigil.ts'

/**
 * Who writes to an event store on a server. Processes share it, or one has it for itself, and one of those that share it
 * does what only one may do. While nobody asks, nothing is written: a process that wants to start asks, and whoever is
 * there answers at once. After a silence that is longer than anything that the last holder can have under way, the lease
 * is free.
 */
export interface EventStoreLease {
  /** Why this process may neither decide nor write any more; null while it may. */
  flaw(): string | null
  /** May look-ups be trusted, as far as the lease is concerned? */
  isSound(): boolean
  /** Waits until they may. @throws StoreUnavailableError they may not, or nobody knows */
  sound(): Promise<void>
  /** To be called before each write that another process must not make as well. @throws StoreUnavailableError */
  beforeWrite(): Promise<void>
  /** Is this the process that does what only one may do, as far as it knows? */
  leads(): boolean
  /** Finds out, and becomes the one where nobody is. @throws StoreUnavailableError */
  acquire(): Promise<boolean>
  /** To be called before each write of that kind. @throws LeadershipLostError, StoreUnavailableError */
  beforeWork(): Promise<void>
  /** Releases the lease. */
  stop(): Promise<void>
}

/** All in milliseconds. */
export interface LeaseTimes extends StartTimes {
  /** If the last renewal is older, the lease is renewed before the next write. */
  heldMs: number
  /** A process that was still for so long does not know what others have done meanwhile. Less than `goneMs`. */
  sleptMs: number
  /**
   * After such a silence of the one who leads, another process that has work for it asks whether it is still there: two
   * events, once for all processes.
   */
  abandonedMs: number
}

const HELD_MS = 2_500
/** A write begins at the last moment of `heldMs`, waits for one before it in its stream, and is one call itself. */
const GONE_MS = HELD_MS + 2 * LONGEST_CALL_MS + 1_500

const TIMES: LeaseTimes = {
  heldMs: HELD_MS,
  goneMs: GONE_MS,
  lookMs: 250,
  sleptMs: 4_000,
  abandonedMs: 30_000,
  patienceMs: 10_000,
}

/** How long a stop waits for the store to take the release. */
const RELEASE_MS = 1_000

interface Dependencies {
  store: EventStore
  /** Do other processes write to this event store, too? */
  shared: boolean
  /** Names the store, for messages. */
  name: string
  clock: Clock
  ids: Ids
  telemetry: Pick<Telemetry, 'log'>
  times?: LeaseTimes
  now?: () => Instant
}

/**
 * Takes part. A process that wants the store for itself waits for `goneMs` where others may be there.
 * @throws StoreInUseError whose message says what to do; StoreUnavailableError
 */
export async function joinEventStore(deps: Dependencies): Promise<EventStoreLease> {
  const { store, shared, name, telemetry, times = TIMES, now = readClocks } = deps
  const { log } = telemetry
  const stream = createLeaseStream({ ...deps, now })
  const vigil = createVigil(now, times.sleptMs)
  const stopping = new AbortController()
  const { signal } = stopping
  const part: Part = { stream, times, now, signal, read, isLost: () => flaw !== null }
  let flaw: string | null = null
  let answering: Promise<void> | null = null
  let confirming: Promise<void> | null = null

  function notice(): void {
    const said = stream.last()
    if (flaw === null && isRival(stream, said, shared)) {
      flaw = `${name} was taken over while this process did not answer: ${whatToDo(said)}`
      log.error({ reason: flaw }, 'the event store belongs to another process: nothing is decided here')
    } else if (flaw !== null && stream.isMine()) {
      // It was another log that said so, and it has been taken away again.
      flaw = null
      log.info({}, 'the event store belongs to this process again')
    }
  }

  async function read(): Promise<void> {
    await stream.read()
    notice()
    assertMay()
  }

  function assertMay(): void {
    if (flaw !== null) throw new StoreUnavailableError('the event store belongs to another process')
  }

  const renew = (): Promise<void> =>
    stream.inTurn(async () => {
      do await read()
      while (!(await stream.write('held')))
    })

  /** Renews the lease. @returns false if another process has it */
  const keep = (): Promise<boolean> =>
    stream.inTurn(async () => {
      do {
        await read()
        if (!stream.isMine()) return false
      } while (!(await stream.write('held')))
      return true
    })

  function isHeld(): boolean {
    const at = stream.heldAt()
    return stream.isMine() && at !== null && ageOf(at, now()) <= times.heldMs
  }

  async function confirmNow(): Promise<void> {
    let sleeps: number
    do {
      sleeps = vigil.sleeps()
      await (shared ? stream.inTurn(read) : renew())
      // Who has slept in the middle of it knows only what was before. A server that is slow is no sleep.
    } while (vigil.sleeps() !== sleeps)
    vigil.caughtUpWith(sleeps)
  }

  /** All who wait share it. */
  function confirm(): Promise<void> {
    confirming ??= confirmNow().finally(() => {
      confirming = null
    })
    return confirming
  }

  function onRead(): void {
    notice()
    if (stream.question() === null || flaw !== null) return
    answering ??= answer(part)
      .catch(() => {})
      .finally(() => {
        answering = null
      })
  }

  try {
    await join({ ...part, shared, name, log })
  } catch (error) {
    vigil.stop()
    throw error
  }
  vigil.caughtUpWith(vigil.sleeps())
  const follower = followLease({ store, stream, lookMs: times.lookMs, signal, onRead })
  const following = follower.done.catch((err: unknown) => {
    if (!signal.aborted) log.error({ err }, 'the lease of the event store is not followed any more')
  })

  return {
    flaw: () => flaw,
    isSound: () => flaw === null && (shared || !vigil.hasSlept()),

    async sound() {
      assertMay()
      if (!shared && vigil.hasSlept()) await confirm()
    },

    async beforeWrite() {
      assertMay()
      if (shared ? follower.isUnsure() || vigil.hasSlept() : !isHeld()) await confirm()
    },

    leads: () => flaw === null && stream.isMine(),

    async acquire() {
      assertMay()
      if (stream.isMine() && (await keep())) return true
      const isAbandoned = ageOf(stream.saidAt(), now()) > times.abandonedMs
      return stream.last()?.state === 'released' || isAbandoned ? takeOver(part) : false
    },

    async beforeWork() {
      assertMay()
      if (!isHeld() && !(await keep())) throw new LeadershipLostError('another process does this work now')
    },

    async stop() {
      stopping.abort()
      vigil.stop()
      await following
      if (flaw !== null || !stream.isMine()) return
      const released = stream
        .inTurn(() => stream.write('released'))
        .catch((err: unknown) => {
          log.warn({ err }, 'the lease of the event store could not be released')
        })
      await Promise.race([released, sleep(RELEASE_MS)])
    },
  }
}

/** How a process takes part. */
interface Part {
  stream: LeaseStream
  times: LeaseTimes
  now: () => Instant
  signal: AbortSignal
  /** @throws StoreUnavailableError nobody knows, or another process has the store for itself */
  read: () => Promise<void>
  isLost: () => boolean
}

/**
 * Whoever has the lease answers at once, and another one where nobody does. That one says only that it is there: who has
 * the lease may be in the middle of what one alone may do.
 */
async function answer({ stream, times, signal, read, isLost }: Part): Promise<void> {
  if (!stream.isMine()) {
    // To those that share the store as well, only the one who has the lease can say that it is there.
    if (stream.question()?.shared) return
    await sleep(times.goneMs * (0.1 + Math.random() * 0.2), undefined, { signal })
  }
  while (stream.question() !== null && !isLost()) {
    const answered = stream.inTurn(async () => {
      await read()
      const isMineOrFree = stream.isMine() || stream.last()?.state === 'released'
      if (stream.question() !== null) await stream.write(isMineOrFree ? 'held' : 'present')
    })
    await answered.catch(() => sleep(times.lookMs, undefined, { signal }))
  }
}

/** @returns whether this process has the lease now, since nobody had it */
async function takeOver(part: Part): Promise<boolean> {
  const { stream, read } = part
  let before = stream.heard()
  const asked = await stream.inTurn(async () => {
    await read()
    before = stream.heard()
    if (stream.isMine()) return 'held'
    if (stream.last()?.state === 'released') return (await stream.write('held')) ? 'held' : 'late'
    return (await stream.write('asked')) ? 'asked' : 'late'
  })
  if (asked !== 'asked') return asked === 'held'
  return !(await isAnswered(part, before)) && stream.inTurn(() => stream.write('held'))
}
