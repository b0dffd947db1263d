import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../../application/ports/eventStore.ts'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'
import type { SqlRow } from '../database/database.ts'
import { isSound, streamOf, toEvent } from './eventRows.ts'
import { createPageSize } from './pageSize.ts'

/** A piece of the log. `last` is the position at which it ends. */
export interface LogPage {
  rows: SqlRow[]
  last: number
  caughtUp: boolean
}

/** Wakes those who wait for the next commit of this process. */
export interface WakeUp {
  all(): void
  /** Resolves at the next commit, or when `signal` is aborted. */
  next(signal: AbortSignal): Promise<void>
}

export function createWakeUp(): WakeUp {
  const waiting = new Set<() => void>()
  return {
    all() {
      for (const wake of waiting) wake()
    },
    next(signal) {
      if (signal.aborted) return Promise.resolve()
      return new Promise((resolve) => {
        const wake = (): void => {
          waiting.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        waiting.add(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    },
  }
}

interface Following {
  after: number
  prefixes: readonly string[]
  signal: AbortSignal
  /** @param most the greatest number of rows */
  page(after: number, most: number): LogPage
  /** Where the log ended at the last commit of this process. */
  end(): number
  wakeUp: WakeUp
  /** Another process writes the log, so it has to be looked at regularly. */
  polls: boolean
  isOpen(): boolean
}

const POLL_MILLISECONDS = 250
const MAX_BACKOFF_MILLISECONDS = 5_000

/** What a subscription yields: the past in pages, then new events, until it is aborted or the store is closed. */
export async function* follow(options: Following): AsyncGenerator<Batch, void, undefined> {
  const { prefixes, signal, wakeUp } = options
  // A damaged row may have lost its name, so every subscription gets it.
  const wanted = (row: SqlRow): boolean =>
    prefixes.some((prefix) => streamOf(row).startsWith(prefix)) || !isSound(row)
  let { after } = options
  const size = createPageSize()
  let announcedEnd = false
  let failures = 0

  while (!signal.aborted && options.isOpen()) {
    let page: LogPage
    try {
      page = options.page(after, size.rows())
      size.learn(page.rows)
      failures = 0
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error
      await pause(backoff(failures++), signal)
      continue
    }
    after = page.last
    const events = page.rows.filter(wanted).map(toEvent)
    if (events.length > 0 || (page.caughtUp && !announcedEnd)) {
      yield { events, caughtUp: page.caughtUp }
      announcedEnd = page.caughtUp
    }
    if (!page.caughtUp) await nextTurn()
    else if (options.polls) await pause(POLL_MILLISECONDS, signal)
    else if (options.end() <= after && options.isOpen()) await wakeUp.next(signal)
  }
}

/** A random part, half to all, of a time that doubles, so that many readers do not come back at the same moment. */
const backoff = (failures: number): number =>
  Math.min(MAX_BACKOFF_MILLISECONDS, 50 * 2 ** failures) * (0.5 + Math.random() / 2)

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {})
}
