/** How long one call may take, in milliseconds. An HTTP request makes a few of them and answers within 5 s. */
export const CALL_MS = 1_000
/** What a call gets at least when waiting has used up its time. */
const LEAST_MS = 250

/** The client keeps its own deadline on what it has sent, but waits for a connection as long as it likes. */
const GRACE_MS = 250

class SilenceError extends Error {
  override name = 'SilenceError'
}

/** Settles like `call`, or rejects when that is late; the call itself goes on and may still take effect. */
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

/** @returns how much is left, in milliseconds, of the time for a task that begins now and takes several steps */
export function startBudget(): () => number {
  const started = performance.now()
  return () => Math.max(LEAST_MS, Math.round(CALL_MS - (performance.now() - started)))
}
