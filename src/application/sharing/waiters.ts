import type { Instant } from '../ports/clock.ts'

/** What somebody waits for. */
interface Wait {
  /** Since when a proof has to have begun. */
  since: Instant
  patienceMs: number
  /** Is there a proof that is good enough? */
  isServed(): boolean
  /** Called when nobody waits any more. @returns why */
  late(): Error
}

interface Waiter extends Pick<Wait, 'since' | 'isServed'> {
  resolve(): void
  reject(error: Error): void
}

/** Those who wait for a proof. One serves all of them that it is good enough for. */
export function createWaiters() {
  const waiters = new Set<Waiter>()
  return {
    wait({ since, patienceMs, isServed, late }: Wait): Promise<void> {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => waiter.reject(late()), patienceMs)
        const waiter: Waiter = {
          since,
          isServed,
          resolve: () => settle(resolve),
          reject: (error) => settle(() => reject(error)),
        }
        function settle(how: () => void): void {
          clearTimeout(timer)
          waiters.delete(waiter)
          how()
        }
        waiters.add(waiter)
      })
    },

    /** Resolves those who need not wait any more. */
    serve(): void {
      for (const waiter of waiters) if (waiter.isServed()) waiter.resolve()
    },

    /** @param before only those who need no proof that begins later than that */
    refuse(error: Error, before?: Instant): void {
      for (const waiter of waiters)
        if (!before || waiter.since.monotonic < before.monotonic) waiter.reject(error)
    },

    /** Since when a proof has to have begun that serves all; null if nobody waits. */
    since(): Instant | null {
      let last: Instant | null = null
      for (const { since } of waiters) if (last === null || since.monotonic > last.monotonic) last = since
      return last
    },
  }
}
