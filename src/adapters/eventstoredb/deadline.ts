/** How long one call may take, in milliseconds. An HTTP request makes a few calls, and is answered within 5 s. */
export const CALL_MS = 1_000
/** The least time for a call, in milliseconds, even if waiting before it has used up the budget. */
const LEAST_MS = 250

/** Added to a deadline, in milliseconds. The client's own deadline starts only once it has a connection. */
const GRACE_MS = 250

class SilenceError extends Error {
  override name = 'SilenceError'
}

/** Settles like `call`, or rejects if that is late. The call itself goes on, and may still take effect. */
export async function withinDeadline<T>(call: Promise<T>, deadline = CALL_MS): Promise<T> {
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

/** For a task of several calls that begins now. @returns a function that gives the time left for it, in milliseconds */
export function startBudget(): () => number {
  const started = performance.now()
  return () => Math.max(LEAST_MS, Math.round(CALL_MS - (performance.now() - started)))
}
