import { Problem } from './problem.ts'

/** State of a caller's quota, for the `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers). */
export interface Quota {
  exceeded: boolean
  headers: Record<string, string>
}

export interface RateLimit {
  /**
   * Counts one event of a caller in the current minute.
   * @param once if given, at most one event with this mark is counted in a minute
   */
  count(caller: string, once?: string): Quota
  /** How many more events there may be in this minute. It counts none itself. */
  left(caller: string): number
}

const WINDOW_MS = 60_000
/**
 * The number of callers that are counted separately in one minute. Any more of them share one count, so that memory
 * stays bounded.
 */
const MAX_CALLERS = 50_000
const EVERYBODY_ELSE = ''
const UNLIMITED: Quota = { exceeded: false, headers: {} }

/**
 * A fixed window of one minute, in this process's memory. It is written by hand, since no library bounds what it keeps
 * for each caller.
 * @param quota events a minute for each caller; 0 for no limit
 * @param now monotonic milliseconds
 */
export function createRateLimit(
  policy: string,
  quota: number,
  now: () => number = performance.now.bind(performance),
): RateLimit {
  let startedAt = Number.NEGATIVE_INFINITY
  let counts = new Map<string, number>()
  let marks = new Set<string>()

  function roll(): number {
    const elapsed = now() - startedAt
    if (elapsed < WINDOW_MS) return WINDOW_MS - elapsed
    startedAt = now()
    counts = new Map()
    marks = new Set()
    return WINDOW_MS
  }

  const keyOf = (caller: string): string =>
    counts.has(caller) || counts.size < MAX_CALLERS ? caller : EVERYBODY_ELSE

  function state(used: number, seconds: number): Quota {
    const exceeded = used > quota
    return {
      exceeded,
      headers: {
        'RateLimit-Policy': `"${policy}";q=${quota};w=${WINDOW_MS / 1000}`,
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

/** @param quota one that is exceeded, or was until its minute ended a moment ago */
export const rateLimited = ({ headers }: Quota): Problem =>
  new Problem('rate_limited', 'Wait until the time in Retry-After has passed.', {
    headers: { 'Retry-After': '1', ...headers },
  })
