import { setTimeout as sleep } from 'node:timers/promises'

/** Ends only tests that fail, so it is long enough for a machine with much else to do. */
const PATIENCE_MS = 30_000

/** Waits for what comes about by itself, like a flush: tries until nothing is thrown, or throws the last error. */
export async function eventually<T>(check: () => T | Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
  const giveUpAt = performance.now() + patienceMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() > giveUpAt) throw error
      await sleep(15)
    }
  }
}

/** A promise and what settles it, to hold something up until a test says so. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
