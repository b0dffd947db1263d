import type { Context } from 'koa'
import type { Logger } from '../application/ports/telemetry.ts'
import { limitedAs } from '../domain/address.ts'
import { requestStateOf } from './requestState.ts'

/**
 * Limits log lines that anybody can cause, without a good credential and as often as they like. Each address may cause
 * a number of lines a minute. Further ones are counted, and one line reports them when the minute is over.
 */
export interface LineQuota {
  /**
   * May the address cause another line now? If not, the line is counted.
   * @param reason one of a fixed set, since it becomes a name in the summary
   */
  allows(address: string, reason: string): boolean
  /** Reports what has been counted so far, and stops counting. */
  close(): void
}

const LINES_PER_ADDRESS = 60
const WINDOW_MS = 60_000
/** The number of addresses that are counted separately in one minute. Any more of them share one quota. */
const MAX_ADDRESSES = 1_000
const ALL_OTHERS = 'others'

interface Caller {
  lines: number
  more: Map<string, number>
}

/** @param summary the message of the line that has the counts of a minute */
export function createLineQuota(log: Logger, summary: string): LineQuota {
  let callers = new Map<string, Caller>()

  function callerOf(address: string): Caller {
    const own = limitedAs(address)
    const key = callers.has(own) || callers.size < MAX_ADDRESSES ? own : ALL_OTHERS
    const known = callers.get(key)
    if (known) return known
    const caller = { lines: 0, more: new Map<string, number>() }
    callers.set(key, caller)
    return caller
  }

  function sumUp(): void {
    const over = callers
    callers = new Map()
    for (const [address, { more }] of over) {
      if (more.size === 0) continue
      const count = [...more.values()].reduce((sum, n) => sum + n, 0)
      log.info({ from: address, count, reasons: Object.fromEntries(more) }, summary)
    }
  }

  const timer = setInterval(sumUp, WINDOW_MS)
  timer.unref()

  return {
    allows(address, reason) {
      const caller = callerOf(address)
      if (caller.lines < LINES_PER_ADDRESS) {
        caller.lines++
        return true
      }
      caller.more.set(reason, (caller.more.get(reason) ?? 0) + 1)
      return false
    },
    close() {
      clearInterval(timer)
      sumUp()
    },
  }
}

/** What a line says about a request that has shown no good credential. */
export interface Stranger {
  address: string
  reason: string
}

export const strangerOf = (ctx: Context, reason: string): Stranger => ({
  address: requestStateOf(ctx).address ?? NO_ADDRESS,
  reason,
})

export const NO_ADDRESS = 'unknown'

/** The same log, but with a quota for lines about a `Stranger`. */
export function withQuota(log: Logger, quota: LineQuota): Logger {
  const own = (fields: Partial<Stranger>): boolean =>
    fields.address === undefined || quota.allows(fields.address, fields.reason ?? ALL_OTHERS)
  return {
    debug: (fields, message) => log.debug(fields, message),
    info(fields, message) {
      if (own(fields)) log.info(fields, message)
    },
    warn: (fields, message) => log.warn(fields, message),
    error(fields, message) {
      if (own(fields)) log.error(fields, message)
    },
  }
}
