/** How long one call may take, in milliseconds. An HTTP request makes a few of them and answers within 5 s. */
export const CALL_MS = 1_000

/** The client keeps its own deadline on what it has sent, but waits for a connection as long as it likes. */
const GRACE_MS = 250

export class SilenceError extends Error {
  override name = 'SilenceError'
}

/** Settles like `call`, or rejects with a SilenceError; the call itself goes on and may still take effect. */
export async function withinDeadline<T>(call: Promise<T>, ms = CALL_MS + GRACE_MS): Promise<T> {
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
