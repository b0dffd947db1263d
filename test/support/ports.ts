import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below those that systems give away themselves, to connections and to whoever listens on any port. */
const LOWEST = 10_000
const HIGHEST = 32_000

/**
 * A port for whoever cannot take any. Tests in other processes do the same at the same time: it is one of many at
 * random, and stays free through a restart of its server, since nobody gets it without asking for it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(LOWEST, HIGHEST)
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
      return port
    } catch {
      // Somebody has it: the next one.
    } finally {
      server.close()
    }
  }
}
