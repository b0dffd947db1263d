import { StoreUnavailableError } from '../../application/ports.ts'
import type { Database } from './database.ts'

/**
 * Group commit: whatever is asked for within one turn of the event loop shares one transaction, and so one wait for
 * the disk. Nobody is answered before the COMMIT.
 */
export interface Group {
  /**
   * Runs `work` inside the next transaction. It must be synchronous, and may throw `Refused` only before it has
   * written anything: that fails this work alone. Any other failure rolls the transaction back.
   */
  submit<T>(work: () => T): Promise<T>
  /** Refuses new work and waits for what was taken. */
  close(): Promise<void>
}

export interface GroupHooks {
  /** Last step inside the transaction. */
  beforeCommit?(): void
  afterCommit?(): void
  afterRollback?(): void
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
}

const MAX_QUEUED = 10_000
const MAX_PER_TRANSACTION = 1_000

/** One group per database: the single place where it is written. */
export function createGroup(database: Database, hooks: GroupHooks = {}): Group {
  const queue: Job[] = []
  let scheduled = false
  let closed = false
  let drained: (() => void) | undefined

  function schedule(): void {
    if (scheduled) return
    scheduled = true
    setImmediate(turn)
  }

  function turn(): void {
    scheduled = false
    commit(queue.splice(0, MAX_PER_TRANSACTION))
    if (queue.length > 0) schedule()
    else drained?.()
  }

  function commit(jobs: Job[]): void {
    let settle: (() => void)[] = []
    try {
      database.inTransaction('immediate', () => {
        settle = jobs.map(run)
        hooks.beforeCommit?.()
      })
    } catch (error) {
      hooks.afterRollback?.()
      // An outage is everybody's; anything else has one cause, and its neighbours must not suffer for it.
      if (error instanceof StoreUnavailableError || jobs.length === 1) {
        for (const job of jobs) job.reject(error)
      } else {
        for (const job of jobs) commit([job])
      }
      return
    }
    hooks.afterCommit?.()
    for (const answer of settle) answer()
  }

  return {
    submit<T>(work: () => T): Promise<T> {
      if (closed) return Promise.reject(new StoreUnavailableError(`${database.path} is closed`))
      if (queue.length >= MAX_QUEUED) {
        return Promise.reject(new StoreUnavailableError(`${database.path}: ${MAX_QUEUED} writes are waiting`))
      }
      schedule()
      return new Promise<T>((resolve, reject) => {
        queue.push({ work, resolve, reject })
      })
    },
    async close() {
      closed = true
      if (queue.length > 0) await new Promise<void>((resolve) => (drained = resolve))
    },
  }
}

/** Does the work now and gives back how to answer it later. */
function run(job: Job): () => void {
  try {
    const value = job.work()
    return () => job.resolve(value)
  } catch (error) {
    if (error instanceof Refused) return () => job.reject(error.reason)
    throw error
  }
}
