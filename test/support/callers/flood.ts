import { randomBytes, randomInt } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { formatToken } from '../../../src/domain/credential.ts'

/**
 * Many connections that ask without a pause. They are on a thread of their own, so that they delay nobody who measures.
 */
export interface Flood {
  /** Ends the flood. @returns the number of answers by status; 0 counts connections that were lost */
  stop(): Promise<Map<number, number>>
}

interface Orders {
  port: number
  connections: number
  /** Whole requests as they are sent, taken in turn. */
  requests: readonly string[]
}

/** Resolves at the first answer. Half a second later, all connections are there. */
export async function startFlood(
  url: string,
  requests: readonly string[],
  connections: number,
): Promise<Flood> {
  const orders: Orders = { port: Number(new URL(url).port), connections, requests }
  const worker = new Worker(new URL(import.meta.url), { workerData: orders })
  await new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  return {
    stop: () =>
      new Promise((resolve, reject) => {
        worker.once('message', (statuses: Map<number, number>) => {
          void worker.terminate()
          resolve(statuses)
        })
        worker.once('error', reject)
        worker.postMessage('stop', [])
      }),
  }
}

/** A request as it is sent. */
export const rawRequest = (path: string, headers: Record<string, string> = {}): string =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: flood',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ]
    .join('\r\n')
    .concat('\r\n\r\n')

/** Tokens of the right form that do not exist. */
export const randomTokens = (amount: number): string[] =>
  Array.from({ length: amount }, () => formatToken('tkl', randomBytes(32)))

export const randomAddress = (): string => [11, randomInt(256), randomInt(256), randomInt(1, 255)].join('.')

// --- On the thread -------------------------------------------------------------------------------------------------

const END = '\r\n\r\n'
const RECONNECT_MS = 50

function flood({ port, connections, requests }: Orders): void {
  const statuses = new Map<number, number>()
  let next = randomInt(requests.length)
  let going = true

  function count(status: number): void {
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    if (statuses.size === 1 && statuses.get(status) === 1) parentPort?.postMessage('answered', [])
  }

  function ask(socket: Socket): void {
    if (going) socket.write(requests[next++ % requests.length] ?? '')
    else socket.destroy()
  }

  function open(): void {
    if (!going) return
    const socket = connect({ host: '127.0.0.1', port })
    let received = ''
    socket.setEncoding('latin1')
    socket.on('connect', () => ask(socket))
    socket.on('data', (chunk: string) => {
      received += chunk
      const end = received.indexOf(END)
      if (end < 0) return
      const [, length = '0'] = /^content-length: *(\d+)/im.exec(received) ?? []
      if (received.length < end + END.length + Number(length)) return
      count(Number(received.slice(9, 12)))
      received = ''
      ask(socket)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (!going) return
      count(0)
      setTimeout(open, RECONNECT_MS)
    })
  }

  // No more connections at once than a listener can queue, since the system tries further ones again only after a
  // second.
  let opened = 0
  const opening = setInterval(() => {
    for (let i = 0; i < 100 && opened < connections; i++, opened++) open()
    if (opened === connections) clearInterval(opening)
  }, 20)
  parentPort?.once('message', () => {
    going = false
    parentPort?.postMessage(statuses, [])
  })
}

if (!isMainThread && isOrders(workerData)) flood(workerData)

function isOrders(data: unknown): data is Orders {
  return typeof data === 'object' && data !== null && 'requests' in data
}
