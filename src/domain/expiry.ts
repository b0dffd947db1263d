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
 * So many days before the expiry is the newest notice that is due. After a time in which nobody could tell, it is the
 * most urgent one, and those before it are left out.
 */
export const lastDue = (expiresAt: string, now: string): Days =>
  NOTICES.findLast((days) => before(expiresAt, days) <= now) ?? 30
