/**
 * The event loop serves everybody, so long work is done in pieces of a few milliseconds. The whole process has one
 * queue for it, since it has one loop: however many answers are being worked out at once, each turn of the loop does
 * one piece, and a request that only has to be authenticated waits no longer than that.
 */

const PIECE_MS = 3

const waiting: (() => void)[] = []
/** When the latest piece began, by the monotonic clock. */
let began = Number.NEGATIVE_INFINITY

/**
 * To be called by long work between its steps. Null if it may go on; else a promise for a later turn of the loop. Null
 * also where another piece has ended early in this turn, so that small pieces share a turn.
 * @throws the reason that `signal` was aborted with
 */
export function giveWay(signal?: AbortSignal): Promise<void> | null {
  signal?.throwIfAborted()
  return performance.now() - began < PIECE_MS ? null : turn()
}

/** Resolves when it is the caller's turn, for a few milliseconds of work. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve)
    if (waiting.length === 1) setImmediate(next)
  })
}

function next(): void {
  began = performance.now()
  const goOn = waiting.shift()
  if (waiting.length > 0) setImmediate(next)
  goOn?.()
}
