import { type ChildProcess, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { startBalancer } from '../support/processes/balancer.ts'
import { freePort, nginxConfiguration, PROXIES } from '../support/processes/behindProxy.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor } from '../support/processes/ledger.ts'
import { describeWith, PATH } from '../support/suite/needs.ts'
import { endServices, ownFolder, type ServiceProcess, startService } from '../support/processes/service.ts'

/**
 * In milliseconds: clearly longer than the balancer needs to see that a process is not ready, even on a busy machine.
 */
const DELAY_MS = '1500'
const TOKENS = '/settings/api-tokens'
const CREATION = JSON.stringify({ name: 'made meanwhile' })

interface Client {
  /** The number of answers, by what they say. */
  answers: Map<string, number>
  stop(): Promise<void>
}

type Method = 'GET' | 'POST'

/** Clients with persistent connections, which never send a request twice. Those that POST create tokens. */
function startClients(url: string, methods: readonly Method[]): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 6 })
  const headers = { Authorization: `Bearer ${jwtFor('acct_1')}`, 'Content-Type': 'application/json' }
  const answers = new Map<string, number>()
  let going = true

  function send(method: Method): Promise<string> {
    const path = method === 'POST' ? TOKENS : '/auth/verify'
    return new Promise((resolve) => {
      const sending = request(url + path, { method, agent, headers }, (answer) => {
        answer.resume()
        answer.on('end', () => resolve(`${method} ${answer.statusCode}`))
        answer.on('error', ({ message }) => resolve(`${method} ${message}`))
      })
      sending.on('error', ({ message }) => resolve(`${method} ${message}`))
      sending.end(method === 'POST' ? CREATION : undefined)
    })
  }

  async function call(method: Method): Promise<void> {
    while (going) {
      const what = await send(method)
      answers.set(what, (answers.get(what) ?? 0) + 1)
      await sleep(10)
    }
  }

  const calls = Promise.all(methods.map(call))
  return {
    answers,
    async stop() {
      going = false
      await calls
      agent.destroy()
    },
  }
}

describe('processes that are replaced one by one under load', function () {
  this.timeout(120_000)
  const processes: ServiceProcess[] = []
  // Requests that fail in between do not fail because of the stores: each process has its own, which answer at once.
  const start = (port = '0') =>
    startService({ SHUTDOWN_DELAY_MS: DELAY_MS, MAX_TOKENS_PER_ACCOUNT: '100000', PORT: port })
  beforeEach(async () => {
    processes.splice(0, Infinity, ...(await Promise.all([start(), start(), start()])))
  })
  afterEach(endServices)

  const isReady = (url: string) =>
    eventually(async () => expect((await fetch(`${url}/health/ready`)).status).to.equal(200))

  function assertOnly(expected: readonly string[], { answers }: Client): void {
    expect([...answers.keys()], JSON.stringify([...answers])).to.have.members(expected)
    for (const amount of answers.values()) expect(amount).to.be.above(20)
  }

  it('lose no request behind a load balancer that asks whether they are ready', async () => {
    const balancer = await startBalancer(50)
    for (const { url } of processes) {
      await isReady(url)
      await balancer.add(url)
    }
    const client = startClients(balancer.url, ['GET', 'GET', 'GET', 'POST', 'POST'])
    try {
      for (const old of processes) {
        const { url } = await start()
        await isReady(url)
        await balancer.add(url)
        expect(await old.stop()).to.equal(0)
        balancer.remove(old.url)
      }
    } finally {
      await client.stop()
      await balancer.close()
    }
    assertOnly(['GET 200', 'POST 201'], client)
  })

  describeWith(
    'nginx',
    { argument: '-v', required: process.env.CI === 'true' },
    'behind nginx, which asks nothing and goes on to the next where a connection is refused',
    () => {
      let nginx: ChildProcess | undefined
      afterEach(async () => {
        if (nginx?.exitCode !== null) return
        const gone = new Promise((resolve) => nginx?.once('exit', resolve))
        nginx.kill('SIGTERM')
        await gone
      })

      it('lose none that may be sent twice', async () => {
        const folder = await ownFolder()
        const port = await freePort()
        const servers = processes.map(({ url }) => `server ${new URL(url).host} max_fails=0;`)
        await writeFile(
          join(folder, 'nginx.conf'),
          nginxConfiguration(
            folder,
            `upstream tokenledger { ${servers.join(' ')} keepalive 16; }
            server { listen 127.0.0.1:${port}; location / {
              proxy_pass http://tokenledger; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
          ),
        )
        nginx = spawn('nginx', PROXIES.nginx.args(folder), { env: { PATH }, stdio: 'ignore' })
        const url = `http://127.0.0.1:${port}`
        await isReady(url)
        const client = startClients(url, ['GET', 'GET', 'GET', 'GET', 'GET'])
        try {
          for (const old of processes) {
            expect(await old.stop()).to.equal(0)
            await isReady((await start(new URL(old.url).port)).url)
          }
        } finally {
          await client.stop()
        }
        assertOnly(['GET 200'], client)
      })
    },
  )
})
