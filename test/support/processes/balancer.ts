import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** A load balancer for TCP that sends new connections to ready processes, in turn, and retries nothing. */
export interface Balancer {
  url: string
  /** Resolves when the process has been asked for the first time whether it is ready. */
  add(url: string): Promise<void>
  remove(url: string): void
  close(): Promise<void>
}

/** @param everyMs how often it asks each process whether it is ready, in milliseconds */
export async function startBalancer(everyMs: number): Promise<Balancer> {
  const ready = new Map<string, boolean>()
  const sockets = new Set<Socket>()
  let turn = 0

  const check = async (url: string): Promise<void> => {
    const isReady = await fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (ready.has(url)) ready.set(url, isReady)
  }
  const checking = setInterval(() => void Promise.all([...ready.keys()].map(check)), everyMs)

  const server = createServer((client) => {
    const urls = [...ready].filter(([, isReady]) => isReady).map(([url]) => url)
    const url = urls[turn++ % urls.length]
    if (url === undefined) return void client.destroy()
    const upstream = connect(Number(new URL(url).port), '127.0.0.1')
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    add(url) {
      ready.set(url, false)
      return check(url)
    },
    remove: (url) => void ready.delete(url),
    async close() {
      clearInterval(checking)
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
