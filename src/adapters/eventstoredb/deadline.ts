/** Added to a deadline, in milliseconds. The client's own deadline starts only once it has a connection. */
const GRACE_MS = 250

export class SilenceError extends Error {
  override name = 'SilenceError'

  constructor(message = 'the server is silent') {
    super(message)
  }
}

/** Settles like `call`, or rejects if that is late. The call itself goes on, and may still take effect. */
export async function withinDeadline<T>(call: Promise<T>, deadline: number): Promise<T> {
  const ms = deadline + GRACE_MS
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new SilenceError(`no answer within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([call, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The least time for a call, in milliseconds, even if waiting before it has used up the budget. */
const LEAST_MS = 250

/** For a task that begins now. @returns a function that gives the time left for it, in milliseconds */
export function startBudget(ms: number): () => number {
  const started = performance.now()
  return () => Math.max(LEAST_MS, Math.round(ms - (performance.now() - started)))
}
