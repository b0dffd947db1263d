import type { Logger } from '../../../application/ports/telemetry.ts'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'
import type { Database } from './database.ts'
import { BusyError } from './errors.ts'
import { type Holder, whoLocks } from './holders.ts'
import { createWalWatch } from './walWatch.ts'
import { pauseAfter } from './whenFree.ts'

/**
 * Group commit: all work that is submitted within one turn of the event loop shares one transaction, and so one wait
 * for the disk. No promise resolves before the COMMIT. While another program has locked the file, all work waits in
 * order, without blocking the event loop.
 */
export interface Group {
  /**
   * Runs `work` inside the next transaction. It must be synchronous. If it throws `Refused`, which it may do only
   * before it has written anything, this work alone fails. Any other failure rolls the transaction back. If the file
   * was locked, `work` runs again later.
   * @throws StoreUnavailableError, for example if the file was locked for longer than commands wait
   */
  submit<T>(work: () => T): Promise<T>
  /** Finishes what was submitted, then runs `last` if possible, and refuses everything else. */
  close(last?: () => void): Promise<void>
  /** Why the last transaction could not be written; null if it could. */
  trouble(): StoreUnavailableError | null
}

export interface GroupHooks {
  /** First step inside the transaction. */
  afterBegin?(): void
  /** Last step inside the transaction. */
  beforeCommit?(): void
  afterCommit?(): void
  afterRollback?(): void
  /** Writes something without effect, to find out whether writing is possible again. */
  probe?(): void
  log?: Logger | undefined
}

/** Carries the reason why one piece of work was refused without a write. */
export class Refused extends Error {
  readonly reason: Error

  constructor(reason: Error) {
    super(reason.message)
    this.reason = reason
  }
}

interface Job {
  work(): unknown
  resolve(value: unknown): void
  reject(reason: unknown): void
  giveUpAt: number
}

const MAX_QUEUED = 10_000
const MAX_PER_TRANSACTION = 1_000
/**
 * How long work waits for a lock. A command may wait twice, to append and to project, and is still answered within 5 s.
 */
const PATIENCE_MS = 2_000
/** A lock that is held for less time than this is not reported. */
const TROUBLE_AFTER_MS = 250
/** After trouble, how often a probe is written while nobody else writes. */
const PROBE_MS = 1_000

/** There must be one group for a database, and nothing else may write it. */
export function createGroup(database: Database, hooks: GroupHooks = {}): Group {
  const { path } = database
  const queue: Job[] = []
  const troubles = createTroubles(path, hooks.log)
  const wal = createWalWatch(path, hooks.log)
  let scheduled = false
  let closed = false
  /** Who waits until nothing is in the queue. */
  const closing: (() => void)[] = []
  /** How many turns in a row met a lock. */
  let lockedTurns = 0
  let lockedSince = 0
  let probing: NodeJS.Timeout | undefined

  function schedule(): void {
    if (scheduled) return
    scheduled = true
    if (lockedTurns === 0) setImmediate(turn)
    else setTimeout(turn, pauseAfter(lockedTurns))
  }

  function turn(): void {
    scheduled = false
    const locked = commit(queue.splice(0, MAX_PER_TRANSACTION))
    if (locked.length === 0) lockedTurns = 0
    else wait(locked)
    if (queue.length > 0) schedule()
    else for (const drained of closing.splice(0)) drained()
    probeLater()
  }

  /** Puts jobs back at the front of the queue, and rejects those that have waited too long. */
  function wait(jobs: readonly Job[]): void {
    const now = performance.now()
    if (lockedTurns++ === 0) lockedSince = now
    const error = new BusyError(`${path} is locked by another program`)
    if (now - lockedSince >= TROUBLE_AFTER_MS) troubles.begin(error)
    queue.unshift(...jobs)
    while (queue[0] && queue[0].giveUpAt <= now) queue.shift()?.reject(error)
  }

  /** @returns the jobs of which nothing was written, since the file was locked */
  function commit(jobs: Job[]): Job[] {
    let settle: (() => void)[] = []
    try {
      database.inTransaction('immediate', () => {
        hooks.afterBegin?.()
        settle = jobs.map(run)
        hooks.beforeCommit?.()
      })
    } catch (error) {
      hooks.afterRollback?.()
      if (error instanceof BusyError) return jobs
      if (error instanceof StoreUnavailableError) troubles.begin(error)
      // An outage concerns all jobs. Any other failure has one job as its cause, so each is tried by itself.
      if (!(error instanceof StoreUnavailableError) && jobs.length > 1) {
        return jobs.flatMap((job) => commit([job]))
      }
      for (const job of jobs) job.reject(error)
      return []
    }
    troubles.end()
    wal.look()
    hooks.afterCommit?.()
    for (const answer of settle) answer()
    return []
  }

  function probeLater(): void {
    if (closed || !troubles.now() || queue.length > 0) return
    probing ??= setTimeout(() => {
      probing = undefined
      if (!closed && troubles.now()) submit(() => hooks.probe?.()).catch(() => {})
    }, PROBE_MS).unref()
  }

  function submit<T>(work: () => T): Promise<T> {
    if (closed) return Promise.reject(new StoreUnavailableError(`${path} is closed`))
    if (queue.length >= MAX_QUEUED) {
      return Promise.reject(new StoreUnavailableError(`${path}: ${MAX_QUEUED} writes are waiting`))
    }
    return enqueue(work)
  }

  function enqueue<T>(work: () => T): Promise<T> {
    schedule()
    return new Promise<T>((resolve, reject) => {
      queue.push({ work, resolve, reject, giveUpAt: performance.now() + PATIENCE_MS })
    })
  }

  return {
    submit,
    async close(last) {
      clearTimeout(probing)
      if (last && !closed) enqueue(last).catch(() => {})
      closed = true
      if (queue.length > 0) await new Promise<void>((resolve) => closing.push(resolve))
    },
    trouble: troubles.now,
  }
}

interface Troubles {
  begin(error: StoreUnavailableError): void
  end(): void
  now(): StoreUnavailableError | null
}

/** Says once that a file cannot be written, and once that it can be again. */
function createTroubles(file: string, log: Logger | undefined): Troubles {
  let current: StoreUnavailableError | null = null
  let since = 0

  async function say(error: StoreUnavailableError): Promise<void> {
    const holders: Holder[] = error instanceof BusyError ? await whoLocks(file) : []
    log?.error({ file, err: error, ...(holders.length > 0 && { holders }) }, 'the file cannot be written')
  }

  return {
    begin(error) {
      if (current) return
      current = error
      since = performance.now()
      void say(error)
    },
    end() {
      if (!current) return
      current = null
      log?.info({ file, seconds: (performance.now() - since) / 1000 }, 'the file can be written again')
    },
    now: () => current,
  }
}

/** Does the work now, and returns a function that answers it later, after the COMMIT. */
function run(job: Job): () => void {
  try {
    const value = job.work()
    return () => job.resolve(value)
  } catch (error) {
    if (error instanceof Refused) return () => job.reject(error.reason)
    throw error
  }
}
