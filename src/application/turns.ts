/**
 * The event loop is one for the whole process, and so is the queue of those who have long work to do: one of them goes on
 * in each turn of the loop. If each merely waited for the next turn, a hundred of them would hold it a hundred times as
 * long as one.
 */
const waiting: (() => void)[] = []

/** Resolves when it is the caller's turn, for a few milliseconds of work. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve)
    if (waiting.length === 1) setImmediate(next)
  })
}

function next(): void {
  const goOn = waiting.shift()
  if (waiting.length > 0) setImmediate(next)
  goOn?.()
}
