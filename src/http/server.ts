import { randomUUID } from 'node:crypto'
import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type Koa from 'koa'
import { Problem, problemDocument } from './problem.ts'

/** A server that answers with a problem document also where Node would refuse by itself, in other words or none. */
export function createHttpServer(app: Koa): Server {
  const handle = app.callback()
  const listener: RequestListener = (request, response) => void handle(request, response)
  const server = createServer({ requireHostHeader: false }, (request, response) => {
    if (request.headers.host !== undefined || request.httpVersion === '1.0')
      return listener(request, response)
    refuse(response.socket, new Problem('malformed_request', 'Send a Host header.'))
  })
  // RFC 9110 §10.1.1: an expectation that is not known may be left unmet.
  server.on('checkExpectation', listener)
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return socket.destroy()
    refuse(
      socket,
      error.code === 'HPE_HEADER_OVERFLOW'
        ? new Problem('header_fields_too_large', 'The headers are too large.')
        : new Problem('malformed_request', 'This is not HTTP that can be read.'),
    )
  })
  return server
}

/** Answers without Koa, and closes the connection. */
function refuse(socket: Duplex | null, problem: Problem): void {
  const requestId = randomUUID()
  const body = JSON.stringify(problemDocument(problem, requestId))
  socket?.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n` +
      'Content-Type: application/problem+json\r\nCache-Control: no-store\r\nConnection: close\r\n' +
      `X-Request-Id: ${requestId}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/**
 * Takes no new connection and waits for the requests under way; then closes what is left: idle keep-alive connections
 * and those that never sent a whole request.
 * @param drained resolves when no request is under way
 * @param graceMs after which requests under way are cut off
 */
export async function stopServing(server: Server, drained: Promise<void>, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  await Promise.race([drained, sleep(graceMs, undefined, { ref: false })])
  server.closeAllConnections()
  // The server says that it is closed before the last requests have ended, and their uses count at their end.
  await Promise.all([closed, drained])
}
