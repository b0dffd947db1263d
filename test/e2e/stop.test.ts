import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import Koa from 'koa'
import { stopServing } from '../../src/http/server/server.ts'
import { createTokenLedger } from '../../src/ledger/ledger.ts'
import { apiOf, type CreatedToken, type Usage } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { cli } from '../support/processes/cli.ts'
import { jwtFor, PEPPERS, SECRET, startLedger } from '../support/processes/ledger.ts'
import { startStandInProcess } from '../support/standIn/process.ts'
import {
  endServices,
  failingService,
  ownFolder,
  type ServiceProcess,
  startService,
} from '../support/processes/service.ts'

/** In milliseconds. The contract says 3 s, but the machine that runs the tests may be busy. */
const IDLE_STOP_MS = 6_000
const TOKENS = '/settings/api-tokens'

interface Raw {
  socket: Socket
  send(text: string): void
  /** Everything received so far. */
  received(): string
  until(pattern: RegExp): Promise<string>
  closed: Promise<void>
}

const sockets: Socket[] = []

/** A connection on which the test decides about every byte. */
async function raw(url: string): Promise<Raw> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  sockets.push(socket)
  let received = ''
  socket.on('data', (chunk: Buffer) => (received += chunk.toString()))
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  return {
    socket,
    send: (text) => void socket.write(text),
    received: () => received,
    async until(pattern) {
      const end = Date.now() + 5_000
      while (!pattern.test(received)) {
        if (Date.now() > end || socket.destroyed)
          throw new Error(`${String(pattern)} never came: ${received}`)
        await sleep(5)
      }
      return received
    },
    closed,
  }
}

const get = (path: string, headers = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`

/** A creation whose body is `length` bytes long. None of them is sent yet. */
const creation = (length: number): string =>
  `POST ${TOKENS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${jwtFor('acct_1')}\r\n` +
  `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`

/** Resolves when the service has noticed the signal, and so accepts no new connection. */
async function refusing(service: ServiceProcess): Promise<void> {
  const end = Date.now() + 5_000
  while (Date.now() < end) {
    const refused = await raw(service.url).then(
      ({ socket }) => void socket.destroy(),
      () => true,
    )
    if (refused) return
    await sleep(10)
  }
  throw new Error('it still takes connections')
}

async function stopped(
  service: ServiceProcess,
  signal: NodeJS.Signals,
): Promise<{ code: number | null; ms: number }> {
  const before = Date.now()
  service.signal(signal)
  const code = await service.exited
  return { code, ms: Date.now() - before }
}

const optionsIn = (folder: string) => ({
  eventStoreUrl: `sqlite:${folder}/events.db`,
  readModelUrl: `sqlite:${folder}/read-model.db`,
  jwt: { secret: SECRET },
  peppers: PEPPERS,
})

describe('a stop', () => {
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await endServices()
  })

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`by ${signal} ends an idle service with 0, whoever is still connected`, async () => {
      const service = await startService()
      const keepAlive = await raw(service.url)
      keepAlive.send(get('/health/live'))
      await keepAlive.until(/"ok"/)
      const silent = await raw(service.url)
      const halfHeader = await raw(service.url)
      halfHeader.send('GET /auth/verify HTTP/1.1\r\nHost: loc')
      await sleep(50)
      const { code, ms } = await stopped(service, signal)
      expect(code).to.equal(0)
      expect(ms).to.be.below(IDLE_STOP_MS)
      await Promise.all([keepAlive.closed, silent.closed, halfHeader.closed])
      expect(service.output()).to.include('"msg":"stopped"')
    })
  }

  it('answers the request under way, and is not ready while it does', async () => {
    const service = await startService()
    const body = JSON.stringify({ name: 'sent slowly' })
    const upload = await raw(service.url)
    upload.send(creation(body.length))
    upload.send(body.slice(0, 5))
    // The header of this request is incomplete. So the connection is not idle, and the stop leaves it open, but no
    // request is under way.
    const probe = await raw(service.url)
    probe.send(get('/health/ready'))
    await probe.until(/"status":"ready"/)
    probe.send('GET /health/ready HTTP/1.1\r\nHost: loc')
    await sleep(50)

    service.signal('SIGTERM')
    await refusing(service)
    probe.send('alhost\r\n\r\n')
    const answers = await probe.until(/"status":"not_ready".*\}\}/s)
    expect(answers)
      .to.match(/HTTP\/1\.1 503 /)
      .and.to.include('"service":"stopping"')
    expect(service.child.exitCode).to.equal(null)

    upload.send(body.slice(5))
    const answer = await upload.until(/"token":"tkl_/)
    expect(answer).to.match(/^HTTP\/1\.1 201 /)
    expect(await service.exited).to.equal(0)

    const created = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as CreatedToken
    const again = await startService({}, service.folder)
    const read = await apiOf(again.url).read(created.id)
    expect(read.body).to.include({ name: 'sent slowly', status: 'active' })
    expect(await apiOf(again.url).use(created.token)).to.equal(200)
  })

  it('keeps every use up to the last request', async () => {
    // The flush interval is longer than the test, so only the stop can have stored them.
    const service = await startService({ USAGE_FLUSH_MS: '3600000' })
    const api = apiOf(service.url)
    const { id, token } = (await api.create({ name: 'used to the end' })).body
    let accepted = 0
    const workers = Array.from({ length: 4 }, async () => {
      for (;;) {
        const status = await api.use(token).catch(() => null)
        if (status === null) return
        expect(status).to.equal(200)
        accepted++
      }
    })
    await sleep(300)
    expect(await service.stop()).to.equal(0)
    await Promise.all(workers)
    expect(accepted).to.be.above(10)

    const again = await startService({}, service.folder)
    const { total } = (await apiOf(again.url).call<Usage>('GET', `${TOKENS}/${id}/usage`)).body
    // A use is an accepted credential. So a request whose answer was cut off also counts, at most one for each worker.
    expect(total.requests).to.be.within(accepted, accepted + workers.length)
    expect(total.outcomes['accepted']).to.be.at.least(accepted)
  })

  it('leaves no event unprojected: whoever reads the read model without a service finds the last uses', async () => {
    const standIn = await startStandInProcess()
    const service = await startService({
      EVENT_STORE_URL: `esdb://127.0.0.1:${standIn.port}?tls=false`,
      USAGE_FLUSH_MS: '3600000',
    })
    const api = apiOf(service.url)
    const { id, token } = (await api.create({ name: 'read afterwards' })).body
    for (let i = 0; i < 3; i++) expect(await api.use(token)).to.equal(200)
    expect(await service.stop()).to.equal(0)
    await standIn.kill()
    const { stdout, stderr } = await cli(['usage', '--token', id, '--json'], service.folder)
    expect(JSON.parse(stdout).total.requests, stderr).to.equal(3)
  })

  it('in strict mode keeps every use as well', async () => {
    const service = await startService({ AUDIT_MODE: 'strict', USAGE_FLUSH_MS: '3600000' })
    const api = apiOf(service.url)
    const { id, token } = (await api.create({ name: 'strict' })).body
    for (let i = 0; i < 5; i++) expect(await api.use(token)).to.equal(200)
    expect(await service.stop()).to.equal(0)
    const again = await startService({}, service.folder)
    expect((await apiOf(again.url).usage(id)).body.total.requests).to.equal(5)
  })

  it('that cuts off a request which takes too long has counted its use', async () => {
    const folder = await ownFolder()
    const first = await startLedger({}, folder)
    const { id, token } = (await apiOf(first.url).create({ name: 'never answered' })).body
    await first.close()
    const ledger = await createTokenLedger(optionsIn(folder))
    const app = new Koa()
    app.use(ledger.observe())
    app.use(ledger.authenticate())
    app.use(() => new Promise(() => {}))
    const handle = app.callback()
    const server = createServer((request, response) => void handle(request, response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const clients = await Promise.all(
      Array.from({ length: 3 }, () => raw(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)),
    )
    for (const client of clients) client.send(get('/orders', `X-API-Token: ${token}\r\n`))
    await sleep(100)
    await stopServing(server, ledger.drain, 50)
    await ledger.close()
    await Promise.all(clients.map(({ closed }) => closed))

    const again = await startLedger({}, folder)
    expect((await apiOf(again.url).usage(id)).body.total).to.deep.equal({
      requests: 3,
      outcomes: { aborted: 3 },
    })
    await again.close()
  })

  it('with SHUTDOWN_DELAY_MS turns readiness red first and serves on, new connections too, until it is over', async () => {
    const service = await startService({ SHUTDOWN_DELAY_MS: '1500' })
    const api = apiOf(service.url)
    const { token } = (await api.create({ name: 'used until the end' })).body
    const kept = await raw(service.url)
    kept.send(get('/health/live'))
    await kept.until(/"ok"/)

    const before = Date.now()
    service.signal('SIGTERM')
    await eventually(async () => expect((await api.call('GET', '/health/ready')).status).to.equal(503))
    let served = 0
    for (; Date.now() - before < 1_000; served++) {
      const fresh = await raw(service.url)
      fresh.send(get('/auth/verify', `X-API-Token: ${token}\r\n`))
      const answer = await fresh.until(/\r\n\r\n/)
      expect(answer).to.match(/^HTTP\/1\.1 200 /)
      expect(answer, 'a pool has no connection left when the listener closes').to.match(
        /^Connection: close\r$/m,
      )
      await fresh.closed
    }
    expect(served).to.be.above(1)
    kept.send(get('/health/ready'))
    expect(await kept.until(/not_ready/)).to.match(/HTTP\/1\.1 503 [^]*^Connection: close\r$/m)
    await kept.closed
    await refusing(service)
    expect(Date.now() - before).to.be.at.least(1_500)
    expect(await service.exited).to.equal(0)
    expect(Date.now() - before).to.be.below(1_500 + IDLE_STOP_MS)
  })

  it('serves whoever was connected before the listener closed and asks a moment later', async () => {
    const service = await startService()
    const early = await raw(service.url)
    service.signal('SIGTERM')
    await refusing(service)
    early.send(get('/health/live'))
    expect(await early.until(/"ok"/)).to.match(/^HTTP\/1\.1 200 [^]*^Connection: close\r$/m)
    expect(await service.exited).to.equal(0)
  })

  it('ends the connection of the request under way with its answer', async () => {
    const service = await startService({ SHUTDOWN_DELAY_MS: '2000' })
    const body = JSON.stringify({ name: 'sent slowly' })
    const upload = await raw(service.url)
    upload.send(creation(body.length))
    await sleep(50)
    service.signal('SIGTERM')
    await eventually(() => expect(service.output()).to.contain('"msg":"stopping"'))
    upload.send(body)
    const answer = await upload.until(/"token":"tkl_/)
    expect(answer).to.match(/^HTTP\/1\.1 201 [^]*^Connection: close\r$/m)
    await upload.closed
    expect(await service.exited).to.equal(0)
  })

  it('in production takes 3 s for the load balancers, elsewhere none', async () => {
    for (const [env, least, most] of [
      [{ NODE_ENV: 'production' }, 3_000, 3_000 + IDLE_STOP_MS],
      [{ NODE_ENV: 'production', SHUTDOWN_DELAY_MS: '0' }, 0, 2_900],
      [{}, 0, 2_900],
    ] as const) {
      const { code, ms } = await stopped(await startService(env), 'SIGTERM')
      expect(code).to.equal(0)
      expect(ms, JSON.stringify(env)).to.be.within(least, most)
    }
  })

  it('asked for twice ends at once while it waits', async () => {
    const service = await startService({ SHUTDOWN_DELAY_MS: '60000' })
    service.signal('SIGTERM')
    await eventually(() => expect(service.output()).to.contain('"msg":"stopping"'))
    const { code, ms } = await stopped(service, 'SIGTERM')
    expect(code).to.equal(1)
    expect(ms).to.be.below(IDLE_STOP_MS)
  })

  it('asked for twice ends at once', async () => {
    const service = await startService()
    const upload = await raw(service.url)
    upload.send(creation(100))
    upload.send('{"name":')
    await sleep(50)
    service.signal('SIGTERM')
    await refusing(service)
    expect(service.child.exitCode, 'the request under way keeps it').to.equal(null)
    const { code, ms } = await stopped(service, 'SIGINT')
    expect(code).to.equal(1)
    expect(ms).to.be.below(IDLE_STOP_MS)
  })

  it('asked for while the stores open ends at once, by a handler: a first process has no other way', async () => {
    // The signal is sent right after the first handler is set, before any code that is awaited can continue.
    const preload = `process.on('newListener', (name) => {
      if (name === 'SIGTERM') process.nextTick(() => process.emit(name, name))
    })`
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` }
    const { code, stdout } = await failingService(env, await ownFolder())
    expect(code).to.equal(128 + constants.signals.SIGTERM)
    expect(stdout).to.contain('stopped before it listened').and.not.to.contain('"listening"')
  })
})
