import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { bearer } from '../../test/support/callers/caller.ts'
import { jwtFor } from '../../test/support/processes/ledger.ts'
import { MAIN, type ServiceProcess, startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

/** A caller sends many requests at once, to routes with long answers, and reads no answer. */

const SOCKETS = 100
const REQUESTS = 400
const PATHS = [
  '/openapi.json',
  '/docs/swagger-ui-bundle.js',
  '/metrics',
  '/health/ready',
  '/settings/api-tokens',
]
const LONGEST_MS = 40_000
const MEGABYTE = 1024 * 1024

/** The memory of a process; infinite if it has died of it. */
function memoryOf({ child }: ServiceProcess): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** How many answers a caller gets who reads them, until there is one for each request, or ten seconds have passed. */
async function answersRead(reading: Socket): Promise<number> {
  let answers = 0
  let rest = ''
  const all = new Promise<void>((resolve) => {
    reading.on('data', (chunk: Buffer) => {
      const text = rest + chunk.toString('latin1')
      answers += text.split('HTTP/1.1 200 OK').length - 1
      rest = text.slice(-14)
      if (answers === REQUESTS) resolve()
    })
  })
  await Promise.race([all, sleep(10_000)])
  reading.destroy()
  return answers
}

await attack('Requests sent ahead, and no answer is read', async ({ saw, control, bound }) => {
  const heap = '--max-old-space-size=512'
  const service = await startService({}, undefined, [process.execPath, heap, MAIN])
  const { hostname, port } = new URL(service.url)
  const authorization = `Authorization: ${bearer(jwtFor('acct_1')).Authorization}\r\n`
  const requests = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: a\r\n${authorization}\r\n`.repeat(REQUESTS)

  function send(path: string): Socket {
    const socket = connect({ host: hostname, port: Number(port) })
    socket.on('error', () => {})
    socket.write(requests(path))
    return socket
  }

  /** The time that an ordinary caller waits for the slowest of some answers. */
  async function slowest(): Promise<number> {
    let most = 0
    for (let i = 0; i < 10; i++) {
      const asked = performance.now()
      const signal = AbortSignal.timeout(20_000)
      const answer = await fetch(`${service.url}/health/live`, { signal }).catch(() => null)
      if (!answer?.ok) return Number.POSITIVE_INFINITY
      most = Math.max(most, performance.now() - asked)
      await sleep(100)
    }
    return most
  }

  const answers = await answersRead(send('/openapi.json'))
  control(`one that reads has ${answers} answers to ${REQUESTS} requests sent ahead`, answers === REQUESTS)

  const before = memoryOf(service)
  let most = before
  const watch = setInterval(() => {
    most = Math.max(most, memoryOf(service))
  }, 50)
  const deaf = Array.from({ length: SOCKETS }, (_, i) => send(PATHS[i % PATHS.length] as string).pause())
  const wait = await slowest()
  clearInterval(watch)
  saw(`${Math.round(before / MEGABYTE)} MB before, ${Math.round(most / MEGABYTE)} MB at the most`)
  bound('the process takes less than 300 MB more', most - before < 300 * MEGABYTE)
  bound(`somebody else is answered meanwhile, within ${Math.round(wait)} ms`, wait < 10_000)

  // Answers to the first two paths are longer than the buffers of the operating system.
  const stuck = (SOCKETS / PATHS.length) * 2
  const started = performance.now()
  let cutOff = 0
  while (cutOff < stuck && performance.now() - started < LONGEST_MS) {
    await sleep(1000)
    const text = await fetch(`${service.url}/metrics`).then((answer) => answer.text())
    cutOff = Number(/^tokenledger_connections_cut_off (\d+)/m.exec(text)?.[1] ?? 0)
  }
  const seconds = Math.round((performance.now() - started) / 1000)
  bound(`callers that take no answer are cut off: ${cutOff} after ${seconds} s`, cutOff >= stuck)
  for (const socket of deaf) socket.destroy()
})
