import type { Condition } from '../ports/documents.ts'

/** Conditions for the tokens of an account in one status, each of which an index serves. The caller passes the time. */

const ofAccount = (accountId: string, revoked: boolean): Condition[] => [
  { field: 'accountId', op: 'eq', value: accountId },
  { field: 'revoked', op: 'eq', value: revoked },
]

export const notRevoked = (accountId: string): Condition[] => ofAccount(accountId, false)

export const revoked = (accountId: string): Condition[] => ofAccount(accountId, true)

/** Neither revoked nor expired. */
export const active = (accountId: string, at: string): Condition[] => [
  { field: 'accountId', op: 'eq', value: accountId },
  { field: 'revoked', op: 'eq', value: false },
  {
    any: [
      { field: 'expiresAt', op: 'eq', value: null },
      { field: 'expiresAt', op: 'gt', value: at },
    ],
  },
]

export const expired = (accountId: string, now: string): Condition[] => [
  ...notRevoked(accountId),
  { field: 'expiresAt', op: 'lte', value: now },
]

export const damaged = (accountId: string): Condition[] => [
  { field: 'accountId', op: 'eq', value: accountId },
  { field: 'stopped', op: 'gte', value: '' },
]
