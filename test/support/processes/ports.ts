import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Lower ports than those that systems choose themselves, for connections and for servers that listen on any port. */
const LOWEST = 10_000
const HIGHEST = 32_000

/**
 * A port for programs that cannot choose one themselves. Tests in other processes do the same at the same time, so it
 * is one of many at random. It stays free during a restart of its server, since nobody gets it without asking for it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(LOWEST, HIGHEST)
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
      return port
    } catch {
      // Another program has it, so try the next one.
    } finally {
      server.close()
    }
  }
}
