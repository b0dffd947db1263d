/**
 * The event loop serves everybody, so work that takes long is done in pieces of a few milliseconds. All of the process
 * share one queue, since they share one loop: however many answers are being worked out at once, each turn of the loop
 * does one piece, and whoever only wants to be authenticated waits for no more than that.
 */

const PIECE_MS = 3

const waiting: (() => void)[] = []
/** When the piece began that was let go last. */
let began = Number.NEGATIVE_INFINITY

/**
 * For long work to ask between its steps: null while its piece may go on, else a promise for a later turn of the loop.
 * It is null right after another piece has ended early, so that small ones share a turn.
 * @throws what `signal` was aborted with
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
