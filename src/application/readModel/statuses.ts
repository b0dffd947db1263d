import { DAY_MS } from '../../domain/time.ts'
import { iso } from '../ports/clock.ts'
import type { Condition } from '../ports/documents.ts'

/**
 * Conditions for the tokens of an account, or of all (null), in one status, each of which an index serves. The caller
 * passes the time.
 */

type Account = string | null

export const inState = (accountId: Account, isRevoked: boolean): Condition[] => [
  ...(accountId === null ? [] : [{ field: 'accountId', op: 'eq', value: accountId } as const]),
  { field: 'revoked', op: 'eq', value: isRevoked },
]

export const notRevoked = (accountId: Account): Condition[] => inState(accountId, false)

export const revoked = (accountId: Account): Condition[] => inState(accountId, true)

export const neverExpires: Condition = { field: 'expiresAt', op: 'eq', value: null }
export const notExpired = (now: string): Condition => ({
  any: [neverExpires, { field: 'expiresAt', op: 'gt', value: now }],
})
export const hasExpired = (now: string): Condition => ({ field: 'expiresAt', op: 'lte', value: now })

/** From now on, and within so many days. */
export const expiresWithin = (days: number, now: string): Condition[] => [
  { field: 'expiresAt', op: 'gt', value: now },
  { field: 'expiresAt', op: 'lte', value: iso(Date.parse(now) + days * DAY_MS) },
]

/** Not used for so many days, and not made since then. */
export const unusedFor = (days: number, now: string): Condition[] => {
  const [used, never] = unusedEither(days, now)
  return [{ any: [...used, neverUsed] }, ...never.filter((one) => one !== neverUsed)]
}

const neverUsed: Condition = { field: 'lastAccessed', op: 'eq', value: null }

/** The same as two conditions, each of which an index serves: last used by then, or never used and made by then. */
export function unusedEither(days: number, now: string): [used: Condition[], never: Condition[]] {
  const then = iso(Date.parse(now) - days * DAY_MS)
  return [
    [{ field: 'lastAccessed', op: 'lte', value: then }],
    [neverUsed, { field: 'createdAt', op: 'lte', value: then }],
  ]
}

/** Neither revoked nor expired. */
export const active = (accountId: Account, at: string): Condition[] => [
  ...notRevoked(accountId),
  notExpired(at),
]

export const expired = (accountId: Account, now: string): Condition[] => [
  ...notRevoked(accountId),
  hasExpired(now),
]

export const damaged = (accountId: string): Condition[] => [
  { field: 'accountId', op: 'eq', value: accountId },
  { field: 'stopped', op: 'gte', value: '' },
]
