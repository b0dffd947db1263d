import { Refusal } from '../domain/errors.ts'
import { type Clock, type Condition, iso, type ReadModel } from './ports.ts'

export interface AccountLimit {
  /** Runs a creation if the account has room for one more live token, counting those under way in this process. */
  within<T>(accountId: string, create: () => Promise<T>): Promise<T>
}

/** A live token is neither revoked nor expired. */
export const liveConditions = (accountId: string, now: string): Condition[] => [
  { field: 'accountId', op: 'eq', value: accountId },
  { field: 'revokedAt', op: 'eq', value: null },
  {
    any: [
      { field: 'expiresAt', op: 'eq', value: null },
      { field: 'expiresAt', op: 'gt', value: now },
    ],
  },
]

/**
 * Exact within a process without making creations wait for each other, until an account is near its limit. Creations
 * of one account in several processes at the same moment can pass the limit by their number.
 */
export function createAccountLimit(readModel: ReadModel, clock: Clock, max: number): AccountLimit {
  const underWay = new Map<string, Set<Promise<unknown>>>()

  async function run<T>(accountId: string, create: () => Promise<T>): Promise<T> {
    for (;;) {
      const others = underWay.get(accountId) ?? new Set()
      const { promise, resolve } = deferred()
      underWay.set(accountId, others.add(promise))
      const leave = () => {
        others.delete(promise)
        if (others.size === 0) underWay.delete(accountId)
        resolve()
      }
      try {
        // Taken before the count: one that ends meanwhile is counted twice rather than not at all.
        const before = others.size - 1
        const live = await readModel.count('tokens', liveConditions(accountId, iso(clock())), max)
        if (live + before < max) return await create()
        if (before === 0) {
          throw new Refusal(
            'token_limit_reached',
            `An account may have ${max} tokens that are neither revoked nor expired.`,
          )
        }
      } finally {
        leave()
      }
      // Near the limit: wait until one of those under way has ended, and count again.
      if (others.size > 0) await Promise.race(others)
    }
  }

  return { within: run }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
