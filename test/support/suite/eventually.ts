import { setTimeout as sleep } from 'node:timers/promises'

/** In milliseconds. Only failing tests wait so long, so it leaves enough time for a busy machine. */
const PATIENCE_MS = 30_000

/**
 * Waits for something that happens by itself, like a flush: tries until `check` throws nothing, or throws its last
 * error.
 */
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

/** A promise and the function that resolves it, to hold something up until a test releases it. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
