import type { Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import Koa, { type Context } from 'koa'
import type { ConnectionLoad } from '../../src/http/server/connections.ts'
import { createHttpServer, SERVER_LIMITS, type ServerLimits } from '../../src/http/server/server.ts'
import { eventually } from '../support/suite/eventually.ts'
import { answersIn } from '../support/callers/raw.ts'

const QUICK = { checkMs: 20, headMs: 150, requestMs: 300, lingerMs: 100 }
const BIG = 1024 * 1024

describe('A connection', () => {
  let server: Server
  let load: ConnectionLoad
  let handle: (ctx: Context) => void | Promise<void>
  const clients = new Set<Socket>()

  async function start(limits: Partial<ServerLimits> = {}): Promise<void> {
    const app = new Koa()
    app.silent = true
    app.use((ctx) => handle(ctx))
    server = createHttpServer(app, {
      limits: { ...SERVER_LIMITS, ...limits },
      observe: (observed) => {
        load = observed
      },
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  }

  beforeEach(() => {
    handle = (ctx) => {
      ctx.body = ctx.path
    }
  })
  afterEach(async () => {
    for (const client of clients) client.destroy()
    clients.clear()
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  })

  /** A client that never closes its side, even if the service has closed its own, which resolves `ended`. */
  function open(bytes = ''): { socket: Socket; received: () => string; ended: Promise<unknown> } {
    const { port } = server.address() as AddressInfo
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.write(bytes)
    clients.add(socket)
    const ended = Promise.race(
      ['end', 'close'].map((event) => new Promise((done) => socket.once(event, done))),
    )
    return { socket, received: () => text, ended }
  }

  /** The same, but it reads nothing. */
  function deaf(bytes: string): ReturnType<typeof open> {
    const made = open(bytes)
    made.socket.pause()
    return made
  }

  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
  const post = (length: number, body: string) =>
    `POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body}`
  const statuses = (text: string) => answersIn(text).map(({ status }) => status)
  const texts = (text: string) => answersIn(text).map((answer) => answer.text)
  const gone = () => eventually(() => expect(load.connections()).to.equal(0))

  it('has its requests served one after the other, in their order', async () => {
    await start()
    let [underWay, most] = [0, 0]
    handle = async (ctx) => {
      most = Math.max(most, ++underWay)
      await sleep(1)
      underWay--
      ctx.body = ctx.path
    }
    const paths = Array.from({ length: 40 }, (_, i) => `/${i}`)
    const { received } = open(paths.map(get).join(''))
    await eventually(() => expect(texts(received())).to.deep.equal(paths))
    expect(most).to.equal(1)
  })

  it('gets no further answers while it does not take the last one, and all of them when it does', async () => {
    await start()
    let begun = 0
    handle = (ctx) => {
      begun++
      ctx.body = Buffer.alloc(BIG)
    }
    const { socket } = deaf(get('/').repeat(60))
    await sleep(300)
    // As many as fit into the buffers of the operating system on both sides.
    expect(begun).to.be.within(1, 20)
    expect(load.waiting()).to.equal(60 - begun)
    expect(load.unsentBytes()).to.be.within(1, 2 * BIG)
    let bytes = 0
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
    socket.resume()
    await eventually(() => expect(bytes).to.be.above(60 * BIG))
    expect(begun).to.equal(60)
    // The last bytes may be here before the service knows that they are gone.
    await eventually(() =>
      expect([load.waiting(), load.unsentBytes(), load.cutOff()]).to.deep.equal([0, 0, 0]),
    )
  })

  it('is not read from while requests wait, with bodies or without', async () => {
    await start()
    handle = async (ctx) => {
      for await (const _ of ctx.req);
      await sleep(1)
      ctx.body = ctx.path
    }
    const { socket } = open()
    const requests = Buffer.from(post(2, '{}').repeat(1000))
    for (let i = 0; i < 100; i++) socket.write(requests)
    let most = 0
    for (let i = 0; i < 50; i++) {
      await sleep(10)
      most = Math.max(most, load.waiting())
    }
    // As many as Node reads at once, and none of the later ones.
    expect(most).to.be.within(100, 1500)
    expect(load.cutOff()).to.equal(0)
  })

  it('is not read from while much is left of others that were cut off', async () => {
    await start({ waiting: 10, parsed: 1000 })
    let most = 0
    handle = (ctx) => {
      most = Math.max(most, load.waiting())
      ctx.body = ctx.path
    }
    // Nobody may be closed for being idle before the last one is connected.
    server.keepAliveTimeout = 0
    const many = Array.from({ length: 40 }, () => open(get('/')))
    await eventually(() => expect(many.every(({ received }) => received() !== '')).to.equal(true))
    for (const { socket } of many) socket.write(get('/').repeat(1000))
    await eventually(() => expect(load.cutOff()).to.equal(40))
    expect(most).to.be.below(4000)
    const { received } = open(get('/here'))
    await eventually(() => expect(texts(received())).to.deep.equal(['/here']))
  })

  it('that sends ahead when too much waits already is cut off, and others are served', async () => {
    await start({ waiting: 100, parsed: 150 })
    handle = (ctx) => {
      ctx.body = ctx.path === '/big' ? Buffer.alloc(8 * BIG) : ctx.path
    }
    for (let i = 0; i < 10; i++) deaf(get('/big').repeat(50))
    await eventually(() => expect(load.cutOff()).to.be.above(5))
    expect(load.waiting()).to.be.at.most(100)
    const { received } = open(get('/here'))
    await eventually(() => expect(texts(received())).to.deep.equal(['/here']))
  })

  it('with the oldest untaken answer is cut off where too much is unsent', async () => {
    await start({ unsentBytes: 20 * BIG })
    handle = (ctx) => {
      ctx.body = ctx.path === '/big' ? Buffer.alloc(16 * BIG) : ctx.path
    }
    const first = deaf(get('/big'))
    await eventually(() => expect(load.unsentBytes()).to.be.above(BIG))
    deaf(get('/big'))
    await eventually(() => expect(load.cutOff()).to.equal(1))
    expect(load.unsentBytes()).to.be.at.most(20 * BIG)
    const { received } = open(get('/here'))
    await eventually(() => expect(texts(received())).to.deep.equal(['/here']))
    first.socket.resume()
    await first.ended
  })

  it('that takes too long to take an answer is cut off', async () => {
    await start({ ...QUICK, answerMs: 200 })
    handle = (ctx) => {
      ctx.body = ctx.path === '/big' ? Buffer.alloc(16 * BIG) : ctx.path
    }
    const { socket: slow } = deaf(get('/big'))
    const dripping = setInterval(() => slow.read(10), 10)
    await eventually(() => expect(load.cutOff()).to.equal(1))
    clearInterval(dripping)
    await gone()
    expect(load.unsentBytes()).to.equal(0)
  })

  it('beyond their number is closed', async () => {
    await start({ connections: 2 })
    for (let i = 0; i < 2; i++) open(get('/'))
    await eventually(() => expect(load.connections()).to.equal(2))
    await open(get('/')).ended
    expect(load.cutOff()).to.equal(1)
  })

  it('is kept between requests for as long as it is set to, longer than a request may take to arrive', async () => {
    await start({ ...QUICK, keepAliveMs: 1_500 })
    const { socket, received, ended } = open(get('/one'))
    await eventually(() => expect(texts(received())).to.deep.equal(['/one']))
    await sleep(700)
    socket.write(get('/two'))
    await eventually(() => expect(texts(received())).to.deep.equal(['/one', '/two']))
    const idle = performance.now()
    await ended
    expect(performance.now() - idle).to.be.within(1_000, 4_500)
    expect(statuses(received()), 'closed without a word').to.deep.equal([200, 200])
  })

  it('is kept longer than load balancers keep it, if nothing else is set', async () => {
    await start()
    const { received } = open(get('/'))
    await eventually(() => expect(texts(received())).to.deep.equal(['/']))
    expect(server.keepAliveTimeout).to.equal(72_000)
    expect(answersIn(received())[0]?.headers.get('keep-alive')).to.equal('timeout=72')
  })

  for (const [what, bytes, answers] of [
    ['nothing', '', [408]],
    ['half a head', 'GET / HTTP/1.1\r\nHos', [408]],
    ['half a body', post(20, '{'), [408]],
    ['a request and half a head', get('/') + 'GET / HT', [200, 408]],
    ['a request and half a body', get('/') + post(20, '{'), [200, 408]],
    ['what is no HTTP', '\x16\x03\x01\x02\x00\x01', [400]],
    ['a request and what is no HTTP', `${get('/')}\x16\x03\x01`, [200, 400]],
    ['a request that names no host', 'GET / HTTP/1.1\r\n\r\n', [400]],
    [
      'a request behind another that names no host',
      `${get('/')}GET / HTTP/1.1\r\n\r\n${get('/')}`,
      [200, 400],
    ],
    ['a head that is too large', `GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}`, [431]],
    ['a broken body', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n', [400]],
    ['a request for two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', [400]],
    ['a tunnel', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', []],
    ['an unmet expectation and half a body', post(20, '{').replace('Host', 'Expect: x\r\nHost'), [408]],
    [
      'an upgrade and half a body',
      post(20, '{').replace('Host', 'Connection: upgrade\r\nUpgrade: x\r\nHost'),
      [408],
    ],
    ['another protocol', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400]],
  ] as const) {
    it(`that sent ${what} is answered and closed, whatever its caller does`, async () => {
      await start(QUICK)
      handle = async (ctx) => {
        for await (const _ of ctx.req);
        ctx.body = ctx.path
      }
      const { received, ended } = open(bytes)
      await ended
      await gone()
      expect(statuses(received())).to.deep.equal(answers)
    })
  }

  it('that is refused and sends on is closed all the same, and has its answer', async () => {
    await start(QUICK)
    const { socket, received, ended } = open('nonsense\r\n')
    const sending = setInterval(() => socket.write('x'.repeat(1000)), 5)
    await ended
    await gone()
    clearInterval(sending)
    expect(statuses(received())).to.deep.equal([400])
  })

  it('that sends its request byte by byte is refused as well', async () => {
    await start(QUICK)
    handle = async (ctx) => {
      for await (const _ of ctx.req);
      ctx.body = ctx.path
    }
    const { socket, received, ended } = open(post(2000, ''))
    const sending = setInterval(() => socket.write('x'), 20)
    await ended
    clearInterval(sending)
    await gone()
    expect(statuses(received())).to.deep.equal([408])
  })
})
