import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import Koa from 'koa'
import type { HistoryDocument } from '../../../projections/tokenHistory.ts'
import type { Accepted } from '../../../src/application/authentication/authenticate.ts'
import { BEGINNING, type FeedQuery } from '../../../src/application/feed/feed.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { createGate } from '../../../src/application/scheduling/gate.ts'
import { createEventStreams } from '../../../src/http/eventStream.ts'
import { problemSender } from '../../../src/http/problem.ts'
import { routerOf } from '../../../src/http/route.ts'
import { feedRoutes } from '../../../src/http/routes/feed.ts'
import { openStream } from '../../support/callers/eventStream.ts'
import { eventually } from '../../support/suite/eventually.ts'

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }
const accepted: Accepted = {
  principal: { kind: 'jwt', accountId: 'acct_1', scopes: [] },
  account: {},
  record: null,
  ceiling: null,
}

describe('A stream of events', () => {
  let events: HistoryDocument[]
  let announce: () => void
  let isGood: boolean
  let failure: Error | null
  let server: ReturnType<Koa['listen']>
  let url: string

  const happen = (size = 1) => {
    const position = String(events.length + 1).padStart(16, '0')
    const place = { id: position, tokenId: 't', accountId: 'acct_1', revision: 0, position }
    const metadata = { at: '', actor: { kind: 'jwt', id: 'a' }, requestId: 'r' }
    events.push({ ...place, ...metadata, type: 'TokenUpdated', data: { name: 'x'.repeat(size) } })
    announce()
  }

  beforeEach(async () => {
    events = []
    announce = () => {}
    isGood = true
    failure = null
    const routes = feedRoutes({
      authenticateRequest: () => accepted,
      reads: createGate({ atOnce: 4, waiting: 10, waitMs: 1_000 }),
      feed: {
        async read({ after, limit }: FeedQuery) {
          if (failure) throw failure
          const data = events.filter(({ position }) => position > after).slice(0, limit)
          return { data, next: data.at(-1)?.position ?? after, end: events.at(-1)?.position ?? BEGINNING }
        },
      },
      watch: {
        follow(_, onNew) {
          announce = onNew
          return () => {}
        },
        look() {},
        async stop() {},
      },
      streams: createEventStreams(),
      stillGood: async () => isGood,
      clock: Date.now,
      log: SILENT,
      times: { commentMs: 20, checkMs: 20, slowMs: 100, retryMs: 5 },
    })
    const app = new Koa().use(routerOf(routes, problemSender(SILENT)))
    server = app.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/settings/api-tokens/events`
  })
  afterEach(() => {
    server.closeAllConnections()
    server.close()
  })

  it('sends comments while nothing happens', async () => {
    const stream = await openStream(url, {})
    await eventually(() => expect(stream.comments()).to.be.greaterThan(3))
    stream.close()
  })

  it('ends when its credential is no longer good', async () => {
    const stream = await openStream(url, {})
    happen()
    await stream.next()
    isGood = false
    await stream.ended
  })

  it('outlasts an outage of the store that it reads', async () => {
    const stream = await openStream(url, {})
    failure = new StoreUnavailableError('away')
    happen()
    await eventually(() => expect(stream.comments()).to.be.greaterThan(3))
    failure = null
    expect((await stream.next()).data.type).to.equal('TokenUpdated')
    stream.close()
  })

  it('is a 503 if the store is away at its beginning', async () => {
    failure = new StoreUnavailableError('away')
    expect((await openStream(url, {})).status).to.equal(503)
  })

  it('is cut off where something fails for good', async () => {
    const stream = await openStream(url, {})
    failure = new Error('broken')
    happen()
    await stream.ended
  })

  it('cuts a reader off that is too slow, which then goes on where it was', async () => {
    for (let n = 0; n < 200; n++) happen(100_000)
    const { port, pathname, host } = new URL(url)
    const socket = connect(Number(port), '127.0.0.1')
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => {})
    socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`)
    socket.pause()
    await eventually(async () => {
      const open = await new Promise((resolve) => server.getConnections((_, n) => resolve(n)))
      expect(open).to.equal(0)
    })
    socket.destroy()
    await closed
    const stream = await openStream(url, { 'last-event-id': String(events[197]?.position) })
    expect((await stream.next()).id).to.equal(events[198]?.position)
    stream.close()
  })
})
