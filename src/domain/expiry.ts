import type { Fact } from './decide.ts'
import type { TokenState } from './token.ts'
import { DAY_MS } from './time.ts'

/** So many days before a token expires, and when it does, that is told. */
const NOTICES = [30, 7, 1, 0] as const
type Days = (typeof NOTICES)[number]

const before = (expiresAt: string, days: Days): string =>
  new Date(Date.parse(expiresAt) - days * DAY_MS).toISOString()

/** When the first notice is due that lies after an expiry was set; null if there is none. Times are RFC 3339. */
export const firstNotice = (expiresAt: string | null, setAt: string): string | null =>
  expiresAt === null
    ? null
    : (NOTICES.map((days) => before(expiresAt, days)).find((due) => due > setAt) ?? null)

/** When the notice after one of so many days is due; null if that was the last. */
export function noticeAfter(expiresAt: string, told: number): string | null {
  const next = NOTICES.find((days) => days < told)
  return next === undefined ? null : before(expiresAt, next)
}

/**
 * The notice that is due now; null if none is. After a time in which nobody could tell, it is the most urgent one, and
 * those before it are left out.
 */
export function notice(state: TokenState, now: string): Fact<'TokenExpiring'> | Fact<'TokenExpired'> | null {
  if (state.status !== 'active' || state.expiresAt === null) return null
  const { expiresAt, noticeAt } = state
  if (noticeAt === null || noticeAt > now) return null
  const days = NOTICES.findLast((some) => before(expiresAt, some) <= now) ?? 30
  return days === 0
    ? { type: 'TokenExpired', data: { expiresAt } }
    : { type: 'TokenExpiring', data: { days, expiresAt } }
}
