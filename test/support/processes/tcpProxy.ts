import { connect, createServer, type Socket } from 'node:net'
import { once } from 'node:events'

/**
 * How a proxy treats its connections. `open`: everything passes. `silent`: connections stay, but nothing passes, as on
 * a network that swallows packets. `refused`: connections are cut, and new ones are not accepted.
 */
export type ProxyMode = 'open' | 'silent' | 'refused'

export interface TcpProxy {
  port: number
  set(mode: ProxyMode): void
  /** From now on, nothing passes on connections on which the client sends one of these texts. */
  silence(...texts: string[]): void
  close(): Promise<void>
}

/** @param target port on loopback */
export async function startProxy(target: number): Promise<TcpProxy> {
  const links = new Set<Link>()
  let mode: ProxyMode = 'open'
  let silenced: readonly string[] = []

  const passes = (link: Link): boolean => mode === 'open' && !link.silent

  const server = createServer((client) => {
    if (mode === 'refused') {
      client.destroy()
      return
    }
    const link: Link = { client, upstream: connect(target, '127.0.0.1'), silent: false, held: [] }
    links.add(link)
    const pass = (from: Socket, to: Socket): void => {
      from.on('data', (chunk: Buffer) => {
        if (from === client && silenced.some((text) => chunk.includes(text))) link.silent = true
        // The order within a direction is kept: bytes that were held go first when the proxy opens again.
        if (passes(link) && link.held.length === 0) to.write(chunk)
        else link.held.push({ to, chunk })
      })
      from.on('error', () => {})
      from.on('close', () => {
        links.delete(link)
        to.destroy()
      })
    }
    pass(client, link.upstream)
    pass(link.upstream, client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  function release(): void {
    for (const link of links) {
      if (!passes(link)) continue
      for (const { to, chunk } of link.held.splice(0)) to.write(chunk)
    }
  }

  function cut(): void {
    for (const { client, upstream } of links) {
      client.destroy()
      upstream.destroy()
    }
  }

  return {
    port: (server.address() as { port: number }).port,
    set(next) {
      mode = next
      silenced = []
      for (const link of links) link.silent = false
      if (mode === 'refused') cut()
      release()
    },
    silence(...texts) {
      silenced = texts
    },
    async close() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Link {
  client: Socket
  upstream: Socket
  silent: boolean
  held: { to: Socket; chunk: Buffer }[]
}
