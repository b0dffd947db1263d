import { Problem } from './problem.ts'

/** State of a caller's quota, for the `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers). */
export interface Quota {
  exceeded: boolean
  headers: Record<string, string>
}

export interface RateLimit {
  /**
   * Counts one event of a caller in the current window.
   * @param once if given, at most one event with this mark is counted in a window
   */
  count(caller: string, once?: string): Quota
  /** How many more events there may be in this window. It counts none itself. */
  left(caller: string): number
}

/** The length of a window unless it is given, in milliseconds. */
const MINUTE_MS = 60_000
/**
 * The number of callers that are counted separately in one window. Any more of them share one count, so that memory
 * stays bounded.
 */
const MAX_CALLERS = 50_000
const EVERYBODY_ELSE = ''
const UNLIMITED: Quota = { exceeded: false, headers: {} }

/**
 * Fixed windows in this process's memory. It is written by hand, since no library bounds what it keeps
 * for each caller.
 * @param quota events in a window for each caller; 0 for no limit
 * @param now monotonic milliseconds
 * @param windowMs the length of a window in milliseconds
 */
export function createRateLimit(
  policy: string,
  quota: number,
  now: () => number = performance.now.bind(performance),
  windowMs = MINUTE_MS,
): RateLimit {
  let startedAt = Number.NEGATIVE_INFINITY
  let counts = new Map<string, number>()
  let marks = new Set<string>()

  function roll(): number {
    const elapsed = now() - startedAt
    if (elapsed < windowMs) return windowMs - elapsed
    startedAt = now()
    counts = new Map()
    marks = new Set()
    return windowMs
  }

  const keyOf = (caller: string): string =>
    counts.has(caller) || counts.size < MAX_CALLERS ? caller : EVERYBODY_ELSE

  function state(used: number, seconds: number): Quota {
    const exceeded = used > quota
    return {
      exceeded,
      headers: {
        'RateLimit-Policy': `"${policy}";q=${quota};w=${windowMs / 1000}`,
        RateLimit: `"${policy}";r=${Math.max(0, quota - used)};t=${seconds}`,
        ...(exceeded ? { 'Retry-After': String(seconds) } : {}),
      },
    }
  }

  return {
    count(caller, once) {
      if (quota === 0) return UNLIMITED
      const seconds = Math.ceil(roll() / 1000)
      const key = keyOf(caller)
      const isRepeat = once !== undefined && marks.has(once)
      const used = (counts.get(key) ?? 0) + (isRepeat ? 0 : 1)
      counts.set(key, used)
      if (once !== undefined && marks.size < MAX_CALLERS) marks.add(once)
      return state(used, seconds)
    },
    left(caller) {
      if (quota === 0) return Number.POSITIVE_INFINITY
      roll()
      return Math.max(0, quota - (counts.get(keyOf(caller)) ?? 0))
    },
  }
}

/** @param quota one that is exceeded, or was until its window ended a moment ago */
export const rateLimited = ({ headers }: Quota): Problem =>
  new Problem('rate_limited', 'Wait until the time in Retry-After has passed.', {
    headers: { 'Retry-After': '1', ...headers },
  })
