import { Refusal } from '../domain/errors.ts'
import { type Clock, type Condition, iso, type ReadModel } from './ports.ts'

export interface AccountLimit {
  /** Runs a creation if the account has room for one more live token, counting those under way in this process. */
  within<T>(accountId: string, create: () => Promise<T>): Promise<T>
}

/** A live token is neither revoked nor expired. */
export const liveConditions = (accountId: string, now: string): Condition[] => [
  { field: 'accountId', op: 'eq', value: accountId },
  { field: 'revoked', op: 'eq', value: false },
  {
    any: [
      { field: 'expiresAt', op: 'eq', value: null },
      { field: 'expiresAt', op: 'gt', value: now },
    ],
  },
]

interface Account {
  /** Calls of `within` that have not ended. */
  callers: number
  /** Creations let through so far. */
  admitted: number
  /** Those of them that have not ended. */
  underWay: Set<Promise<void>>
}

/**
 * Exact within a process without making creations wait for each other, until an account is near its limit. Creations
 * of one account in several processes at the same moment can pass the limit by their number.
 */
export function createAccountLimit(readModel: ReadModel, clock: Clock, max: number): AccountLimit {
  const accounts = new Map<string, Account>()

  async function within<T>(accountId: string, create: () => Promise<T>): Promise<T> {
    const account = accounts.get(accountId) ?? { callers: 0, admitted: 0, underWay: new Set() }
    accounts.set(accountId, account)
    account.callers++
    try {
      for (;;) {
        const { admitted, underWay } = account
        const unfinished = underWay.size
        const live = await readModel.count('tokens', liveConditions(accountId, iso(clock())), max)
        // Creations that the count may have missed: taken for missed, so that the limit holds.
        const uncertain = unfinished + account.admitted - admitted
        if (live + uncertain < max) return await admit(account, create)
        if (uncertain === 0) {
          throw new Refusal(
            'token_limit_reached',
            `An account may have ${max} tokens that are neither revoked nor expired.`,
          )
        }
        if (underWay.size > 0) await Promise.race(underWay)
      }
    } finally {
      account.callers--
      if (account.callers === 0) accounts.delete(accountId)
    }
  }

  return { within }
}

function admit<T>(account: Account, create: () => Promise<T>): Promise<T> {
  account.admitted++
  const creation = create()
  const end = () => void account.underWay.delete(ended)
  const ended: Promise<void> = creation.then(end, end)
  account.underWay.add(ended)
  return creation
}
