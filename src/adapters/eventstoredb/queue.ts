import { StoreUnavailableError } from '../../application/ports/errors.ts'

const MAX_WAITING = 1_000

/**
 * Runs one task at a time for each key, in the order in which they came, since calls that are under way together may
 * reach the server in any order.
 * @param maxWaitMs for how long a task waits for its turn
 * @returns a function that runs a task in its turn; it throws StoreUnavailableError if it has to wait too long
 */
export function createTurns(maxWaitMs: number): <T>(key: string, task: () => Promise<T>) => Promise<T> {
  /** For each key with a task under way, functions that start the tasks which wait behind it. */
  const queues = new Map<string, (() => void)[]>()

  async function turn(key: string): Promise<void> {
    const waiting = queues.get(key)
    if (!waiting) {
      queues.set(key, [])
      return
    }
    if (waiting.length >= MAX_WAITING) throw new StoreUnavailableError(`too many appends to ${key} at once`)
    await new Promise<void>((resolve, reject) => {
      const start = (): void => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(start), 1)
        reject(new StoreUnavailableError(`nothing appended: ${key} is still busy with earlier appends`))
      }, maxWaitMs)
      waiting.push(start)
    })
  }

  function next(key: string): void {
    const start = queues.get(key)?.shift()
    if (start) start()
    else queues.delete(key)
  }

  return async (key, task) => {
    await turn(key)
    try {
      return await task()
    } finally {
      next(key)
    }
  }
}
