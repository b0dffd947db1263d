import type { Condition } from '../ports/documents.ts'

/**
 * Conditions for the tokens of an account, or of all (null), in one status, each of which an index serves. The caller
 * passes the time.
 */

type Account = string | null

const inState = (accountId: Account, isRevoked: boolean): Condition[] => [
  ...(accountId === null ? [] : [{ field: 'accountId', op: 'eq', value: accountId } as const]),
  { field: 'revoked', op: 'eq', value: isRevoked },
]

export const notRevoked = (accountId: Account): Condition[] => inState(accountId, false)

export const revoked = (accountId: Account): Condition[] => inState(accountId, true)

/** Neither revoked nor expired. */
export const active = (accountId: Account, at: string): Condition[] => [
  ...notRevoked(accountId),
  {
    any: [
      { field: 'expiresAt', op: 'eq', value: null },
      { field: 'expiresAt', op: 'gt', value: at },
    ],
  },
]

export const expired = (accountId: Account, now: string): Condition[] => [
  ...notRevoked(accountId),
  { field: 'expiresAt', op: 'lte', value: now },
]

export const damaged = (accountId: string): Condition[] => [
  { field: 'accountId', op: 'eq', value: accountId },
  { field: 'stopped', op: 'gte', value: '' },
]
