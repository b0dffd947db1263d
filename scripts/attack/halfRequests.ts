import { readdirSync, readlinkSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

/** Callers send something that is not a whole request, and never close their connection. */

const SOCKETS_EACH = 25
/**
 * The longest that such a connection may live: ten seconds for a head, thirty for a request, and the time between
 * checks.
 */
const LONGEST_MS = 45_000
const BROKEN = {
  'nothing at all': '',
  'half a head': 'GET /health/live HTTP/1.1\r\nHost',
  'half a body': 'POST /settings/api-tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{',
  'TLS where there is none': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'no host': 'GET /health/live HTTP/1.1\r\n\r\n',
  'a head that is too large': `GET /health/live HTTP/1.1\r\nX: ${'x'.repeat(40_000)}`,
  'a broken body': 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n',
  'a whole request and half of another': 'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\nGET /health',
  'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'a tunnel': 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n',
}

await attack(
  'Connections that are never closed by those who opened them',
  async ({ saw, control, bound }) => {
    const service = await startService()
    const { hostname, port } = new URL(service.url)

    const folder = `/proc/${service.child.pid}/fd`
    const openSockets = (): number =>
      readdirSync(folder).filter((fd) => {
        try {
          return readlinkSync(`${folder}/${fd}`).startsWith('socket:')
        } catch {
          return false
        }
      }).length

    const before = openSockets()
    const clients: Socket[] = []
    for (const bytes of Object.values(BROKEN)) {
      for (let i = 0; i < SOCKETS_EACH; i++) {
        const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
        socket.on('error', () => {})
        socket.resume()
        socket.write(Buffer.from(bytes, 'latin1'))
        clients.push(socket)
      }
    }
    const quiet = connect({ host: hostname, port: Number(port) })
    let answered = 0
    quiet.on('data', () => answered++)
    const asking = setInterval(() => quiet.write('GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n'), 2000)
    await sleep(300)
    saw(`${openSockets() - before} of ${clients.length + 1} connections are open after 300 ms`)

    const started = performance.now()
    while (openSockets() - before > 1 && performance.now() - started < LONGEST_MS) await sleep(500)
    const seconds = Math.round((performance.now() - started) / 1000)
    control(`a connection that sends a request now and then stays: ${answered} answers`, answered > 1)
    const left = openSockets() - before - 1
    bound(`the others are gone after ${seconds} s: ${left} are left`, left <= 0)
    clearInterval(asking)
    for (const socket of [quiet, ...clients]) socket.destroy()
  },
)
