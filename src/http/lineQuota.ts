import type { Context } from 'koa'
import type { Logger } from '../application/ports/telemetry.ts'
import { limitedAs } from '../domain/address.ts'
import { scopeOf } from './requestState.ts'

/**
 * Log lines that anybody can cause, without a good credential and at whatever rate. An address has so many of its own a
 * minute; those beyond are counted, and said in one line when the minute is over.
 */
export interface LineQuota {
  /**
   * Has the address a line of its own left? If not, what the line would say is counted.
   * @param reason one of a fixed set: it is a name in the summary
   */
  allows(address: string, reason: string): boolean
  /** Says what is counted so far, and counts no longer than this. */
  close(): void
}

const LINES_PER_ADDRESS = 60
const WINDOW_MS = 60_000
/** Told apart in one minute. New ones past it share one quota. */
const MAX_ADDRESSES = 1_000
const ALL_OTHERS = 'others'

interface Caller {
  lines: number
  more: Map<string, number>
}

/** @param summary what the line says that has the numbers of a minute */
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

/** What a line says of a request that has shown no good credential. */
export interface Stranger {
  address: string
  reason: string
}

export const strangerOf = (ctx: Context, reason: string): Stranger => ({
  address: scopeOf(ctx).address ?? NO_ADDRESS,
  reason,
})

export const NO_ADDRESS = 'unknown'

/** The same log, in which lines about a `Stranger` keep to a quota. */
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
