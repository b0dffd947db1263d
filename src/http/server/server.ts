import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type Koa from 'koa'
import {
  CONNECTION_LIMITS,
  type ConnectionLimits,
  type ConnectionLoad,
  createConnections,
} from './connections.ts'
import { JSON_HEADERS } from '../jsonHeaders.ts'
import { Problem, problemDocument } from '../problem.ts'

export interface ServerLimits extends ConnectionLimits {
  /** The number of connections at a time. Further ones are closed as they come. */
  connections: number
  /** How long the head of a request may take, in milliseconds, from the first byte or the start of the connection. */
  headMs: number
  /** The same for the whole request. */
  requestMs: number
  /** How long a connection is kept open between requests, in milliseconds. */
  keepAliveMs: number
}

export const SERVER_LIMITS: ServerLimits = {
  ...CONNECTION_LIMITS,
  connections: 10_000,
  headMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 72_000,
}

interface Options {
  limits?: Partial<ServerLimits>
  /** Gets an object that shows what the connections hold. */
  observe?: (load: ConnectionLoad) => void
}

/**
 * A server that limits what its callers can make it hold. Where Node would refuse a request by itself, in other words
 * or in none, this one answers with a problem document.
 */
export function createHttpServer(app: Koa, { observe, ...options }: Options = {}): Server {
  const limits = { ...SERVER_LIMITS, ...options.limits }
  const handle = app.callback()
  const connections = createConnections(
    (request, response) => (namesOneHost(request) ? handle(request, response) : refuseHost(response)),
    limits,
  )
  const server = createServer(
    {
      requireHostHeader: false,
      headersTimeout: limits.headMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.checkMs,
    },
    connections.request,
  )
  server.maxConnections = limits.connections
  // Node would ignore headers beyond 2,000, which may be those of the proxy, or a second credential. Their bytes are
  // limited.
  server.maxHeadersCount = 0
  server.on('connection', connections.open)
  server.on('drop', connections.turnedAway)
  // RFC 9110 §10.1.1: a server may ignore an expectation that it does not know.
  server.on('checkExpectation', connections.request)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    connections.refuse(socket as Socket, rawAnswer(problemOf(error)))
  })
  server.on('close', connections.stop)
  observe?.(connections)
  return server
}

/** RFC 3986 §3.2.2 and §3.2.3: a name or an address, then perhaps a port. The host of an `http` URI is not empty. */
const HOST = /^(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+(?::\d*)?$|^\[[\w.:~!$&'()*+,;=-]+\](?::\d*)?$/i

/**
 * RFC 9112 §3.2: any other request has to be refused. Of two Host headers Node keeps the first, but a proxy may use the
 * second.
 */
function namesOneHost({ rawHeaders, httpVersion }: IncomingMessage): boolean {
  let host: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length !== 4 || name.toLowerCase() !== 'host') continue
    if (host !== undefined) return false
    host = rawHeaders[i + 1] as string
  }
  return host === undefined ? httpVersion === '1.0' : HOST.test(host)
}

function problemOf({ code }: NodeJS.ErrnoException): Problem {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Problem('header_fields_too_large', 'The headers are too large.')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Problem('request_timeout', 'The request took too long to arrive.')
    default:
      return new Problem('malformed_request', 'This is not HTTP that can be read.')
  }
}

function lastAnswer(problem: Problem): { headers: Record<string, string>; body: string } {
  const requestId = randomUUID()
  const body = JSON.stringify(problemDocument(problem, requestId))
  const headers = {
    'Content-Type': 'application/problem+json',
    ...JSON_HEADERS,
    'Cache-Control': 'no-store',
    Connection: 'close',
    'X-Request-Id': requestId,
    'Content-Length': String(Buffer.byteLength(body)),
  }
  return { headers, body }
}

async function refuseHost(response: ServerResponse): Promise<void> {
  const problem = new Problem('malformed_request', 'Send one Host header with a host in it.')
  const { headers, body } = lastAnswer(problem)
  response.writeHead(problem.status, headers).end(body)
}

/** An answer without Koa, for a connection on which no request could be read. */
function rawAnswer(problem: Problem): string {
  const { headers, body } = lastAnswer(problem)
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${fields.join('')}\r\n${body}`
}

/** After the last connection was accepted, its request gets this long to arrive, in milliseconds. */
const LAST_CALL_MS = 500

/**
 * Accepts no new connection, and waits for the requests under way. Then it closes all other connections: idle ones, and
 * those that never sent a whole request.
 * @param drain resolves when no request is under way
 * @param graceMs after this time, requests under way are cut off
 */
export async function stopServing(
  server: Server,
  drain: () => Promise<void>,
  graceMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  await sleep(LAST_CALL_MS)
  const drained = drain()
  await Promise.race([drained, sleep(graceMs, undefined, { ref: false })])
  server.closeAllConnections()
  // The server reports that it is closed before the last requests have ended, and uses are counted at the end of their
  // requests.
  await Promise.all([closed, drained])
}
