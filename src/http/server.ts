import { randomUUID } from 'node:crypto'
import { STATUS_CODES, type Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Problem, problemDocument } from './problem.ts'

/** Answers what Node's parser refuses with a problem document, as everything else is. */
export function answerUnreadable(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return socket.destroy()
    const problem =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? new Problem('header_fields_too_large', 'The headers are too large.')
        : new Problem('malformed_request', 'This is not HTTP that can be read.')
    const body = JSON.stringify(problemDocument(problem, randomUUID()))
    socket.end(
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n` +
        'Content-Type: application/problem+json\r\nCache-Control: no-store\r\nConnection: close\r\n' +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  })
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
