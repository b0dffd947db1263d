import { expect } from 'chai'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const UNUSED = { total: { requests: 0, outcomes: {} }, last_accessed: null, buckets: [], routes: [] }

describe('Usage', () => {
  let now = 0
  let service: TestService
  let accounts = 0
  let owner: Api

  before(async () => {
    service = await startLedger({ clock: () => now, verifyRequestHeaders: 'x-original' })
  })
  after(() => service.close())
  beforeEach(() => {
    now = Date.parse('2026-11-23T12:00:00.000Z')
    owner = callerOf(service.url, bearer(jwtFor(`acct_${accounts++}`)))
  })

  const at = (time: string) => {
    now = Date.parse(time)
  }
  const read = async (id: string, query = '') => (await owner.get(`${TOKENS}/${id}/usage${query}`)).body
  /** The usage once that many uses are stored. */
  const settled = (id: string, requests: number, query = '') =>
    eventually(async () => {
      const body = await read(id, query)
      expect(body.total.requests).to.equal(requests)
      return body
    })
  const use = (token: string, route = '/orders', times = 1) =>
    Promise.all(
      Array.from({ length: times }, () =>
        callerOf(service.url, tokenHeader(token)).get('/auth/verify', {
          'X-Original-URI': route,
          'X-Original-Method': 'GET',
        }),
      ),
    )

  it('of an unused token is empty, over the last 30 days, by day', async () => {
    const { id, hint } = await createToken(owner)
    const body = await read(id)
    expect(body).to.deep.equal({
      token_id: id,
      from: '2026-10-24T12:00:00.000Z',
      to: '2026-11-23T12:00:00.000Z',
      granularity: 'day',
      secrets: [{ hint, requests: 0, last_accessed: null }],
      ...UNUSED,
    })
  })

  it('counts every accepted use, with its route and the time of the last', async () => {
    const { id, token } = await createToken(owner)
    await use(token, '/orders/17', 5)
    await settled(id, 5)
    now += 60_000
    await use(token, '/orders/18', 2)
    const body = await settled(id, 7)
    expect(body.total).to.deep.equal({ requests: 7, outcomes: { accepted: 7 } })
    expect(body.last_accessed).to.equal('2026-11-23T12:01:00.000Z')
    expect(body.buckets).to.deep.equal([
      { at: '2026-11-23T00:00:00.000Z', requests: 7, outcomes: { accepted: 7 } },
    ])
    expect(body.routes).to.deep.equal([
      { method: 'GET', route: '/orders/17', requests: 5 },
      { method: 'GET', route: '/orders/18', requests: 2 },
    ])
    expect((await owner.get(`${TOKENS}/${id}`)).body.last_accessed).to.equal('2026-11-23T12:01:00.000Z')
  })

  it('counts a use whatever became of the request, by the class of its answer', async () => {
    const { id, token } = await createToken(owner)
    const asToken = callerOf(service.url, tokenHeader(token))
    await asToken.get(`${TOKENS}/self`)
    await asToken.get(`${TOKENS}/01890000-0000-7000-8000-000000000000`)
    await asToken.post(TOKENS, { name: 'x' })
    await asToken.get(`${TOKENS}?limit=0`)
    await asToken.get('/auth/verify?scope=missing')
    const { total, routes } = await settled(id, 5)
    expect(total.outcomes).to.deep.equal({ '2xx': 1, '4xx': 4 })
    expect(routes).to.have.deep.members([
      { method: 'GET', route: `${TOKENS}/self`, requests: 1 },
      { method: 'GET', route: `${TOKENS}/:id`, requests: 1 },
      { method: 'GET', route: TOKENS, requests: 1 },
      { method: 'POST', route: TOKENS, requests: 1 },
      { method: 'GET', route: '/auth/verify', requests: 1 },
    ])
  })

  it('counts no refused credential, and no JWT', async () => {
    const { id, token } = await createToken(owner)
    await use(`${token.slice(0, -1)}!`)
    await owner.get('/auth/verify')
    const gone = await createToken(owner)
    await owner.delete(`${TOKENS}/${gone.id}`)
    await use(gone.token, '/orders', 3)
    await use(token)
    await settled(id, 1)
    expect((await read(gone.id)).total.requests).to.equal(0)
  })

  it('shows a token that revoked itself that it did', async () => {
    const { id, token } = await createToken(owner)
    await callerOf(service.url, tokenHeader(token)).delete(`${TOKENS}/self`)
    const { routes } = await settled(id, 1)
    expect(routes).to.deep.equal([{ method: 'DELETE', route: `${TOKENS}/self`, requests: 1 }])
  })

  it('puts uses into hours and days by UTC, and leaves out those without', async () => {
    const { id, token } = await createToken(owner)
    const times = [
      '2026-11-20T23:59:59.999Z',
      '2026-11-21T00:00:00.000Z',
      '2026-11-21T00:59:59.999Z',
      '2026-11-21T02:30:00.000Z',
    ]
    for (const [i, time] of times.entries()) {
      at(time)
      await use(token)
      // `to`, now by default, is exclusive.
      now += 1
      await settled(id, i + 1)
    }
    at('2026-11-23T12:00:00.000Z')
    const bucketsBy = async (granularity: string) =>
      (await read(id, `?granularity=${granularity}`)).buckets.map((bucket) => [bucket.at, bucket.requests])
    expect(await bucketsBy('day')).to.deep.equal([
      ['2026-11-20T00:00:00.000Z', 1],
      ['2026-11-21T00:00:00.000Z', 3],
    ])
    expect(await bucketsBy('hour')).to.deep.equal([
      ['2026-11-20T23:00:00.000Z', 1],
      ['2026-11-21T00:00:00.000Z', 2],
      ['2026-11-21T02:00:00.000Z', 1],
    ])
  })

  it('is asked for from a time on, up to and without another, by the hour', async () => {
    const { id, token } = await createToken(owner)
    const times = [
      '2026-11-19T10:15:00.000Z',
      '2026-11-20T10:15:00.000Z',
      '2026-11-21T10:15:00.000Z',
      '2026-11-22T10:15:00.000Z',
    ]
    for (const [i, time] of times.entries()) {
      at(time)
      await use(token)
      await settled(id, i + 1, '?from=2026-11-01T00:00:00Z')
    }
    at('2026-11-23T12:00:00.000Z')
    const counts = {
      'from=2026-11-20T00:00:00Z&to=2026-11-22T00:00:00Z': 2,
      'from=2026-11-20T10:00:00Z&to=2026-11-22T10:00:00Z': 2,
      'from=2026-11-20T11:00:00Z&to=2026-11-22T10:00:00Z': 1,
      'from=2026-11-20T10:00:00Z&to=2026-11-20T11:00:00Z': 1,
      'from=2026-11-20T11:00:00Z&to=2026-11-20T11:00:00Z': 0,
      'from=2026-11-20T09:00:00Z&to=2026-11-20T10:00:00Z': 0,
      'to=2026-11-20T10:00:00Z': 1,
      'from=2026-11-22T10:00:00Z': 1,
      'from=2026-11-20T11:00:00%2B01:00&to=2026-11-20T12:00:00%2B01:00': 1,
      'from=2030-01-01T00:00:00Z&to=2031-01-01T00:00:00Z': 0,
      'from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z': 4,
    }
    for (const [query, requests] of Object.entries(counts)) {
      for (const granularity of ['hour', 'day']) {
        const body = await read(id, `?${query}&granularity=${granularity}`)
        expect(body.total.requests, `${query} by ${granularity}`).to.equal(requests)
        const inBuckets = body.buckets.reduce((sum, bucket) => sum + bucket.requests, 0)
        const inRoutes = body.routes.reduce((sum, route) => sum + route.requests, 0)
        expect([inBuckets, inRoutes], query).to.deep.equal([requests, requests])
      }
    }
  })

  it('shows the range that it was asked for, in UTC', async () => {
    const { id } = await createToken(owner)
    const { from, to, granularity } = await read(
      id,
      '?from=2026-11-20T01:30:00%2B01:00&to=2026-11-21T00:00:00Z&granularity=hour',
    )
    expect({ from, to, granularity }).to.deep.equal({
      from: '2026-11-20T00:30:00.000Z',
      to: '2026-11-21T00:00:00.000Z',
      granularity: 'hour',
    })
    expect((await read(id, '?to=2026-05-31T00:00:00Z')).from).to.equal('2026-05-01T00:00:00.000Z')
  })

  it('refuses a range that ends before it begins, and what is no time', async () => {
    const { id } = await createToken(owner)
    const bad = [
      'from=2026-11-21T00:00:00Z&to=2026-11-20T00:00:00Z',
      'from=2027-01-01T00:00:00Z',
      'from=yesterday',
      'from=2026-11-20',
      'to=',
      'granularity=week',
      'granularity=',
      'from=2026-11-20T00:00:00Z&from=2026-11-20T00:00:00Z',
      'tz=CET',
    ]
    for (const query of bad) {
      for (const path of [`${TOKENS}/${id}/usage`, `${TOKENS}/usage`]) {
        const { status, body } = await owner.get(`${path}?${query}`)
        expect(status, query).to.equal(422)
        expect(body.errors[0]?.pointer).to.equal(`?${query.split('=')[0]}`)
      }
    }
  })

  it('tells 50 routes of a token apart and counts the rest as other', async () => {
    const { id, token } = await createToken(owner)
    for (let i = 0; i < 60; i++) await use(token, `/r/${String(i).padStart(2, '0')}`)
    await use(token, '/r/00', 3)
    const { routes, total } = await settled(id, 63)
    expect(routes).to.have.lengthOf(51)
    expect(routes.slice(0, 3)).to.deep.equal([
      { method: '*', route: 'other', requests: 10 },
      { method: 'GET', route: '/r/00', requests: 4 },
      { method: 'GET', route: '/r/01', requests: 1 },
    ])
    expect(routes.reduce((sum, { requests }) => sum + requests, 0)).to.equal(total.requests)
  })

  it('is told of one route, exactly as it is named, by one method or by any', async () => {
    const { id, token } = await createToken(owner)
    const asToken = callerOf(service.url, tokenHeader(token))
    await use(token, '/orders', 3)
    await use(token, '/orders/17', 2)
    await use(token, '/__proto__')
    await asToken.get('/auth/verify', { 'X-Original-URI': '/orders', 'X-Original-Method': 'POST' })
    await settled(id, 7)
    const of = (route: string) => read(id, `?route=${encodeURIComponent(route)}`)
    const orders = await of('/orders')
    expect(orders).to.deep.include({
      filter: { method: null, route: '/orders', other: 0 },
      total: { requests: 4, outcomes: null },
      buckets: [{ at: '2026-11-23T00:00:00.000Z', requests: 4, outcomes: null }],
      routes: [
        { method: 'GET', route: '/orders', requests: 3 },
        { method: 'POST', route: '/orders', requests: 1 },
      ],
    })
    expect((await of('GET /orders')).total.requests).to.equal(3)
    expect((await of('/__proto__')).total.requests).to.equal(1)
    expect((await of('/order')).buckets).to.deep.equal([])
    expect((await read(id)).filter).to.equal(undefined)
    const account = (await owner.get(`${TOKENS}/usage?route=/orders`)).body
    expect(account.total.requests).to.equal(4)
    expect(account.tokens.map(({ requests }) => requests)).to.deep.equal([4])
  })

  it('says of one route how many requests are not told apart, which cannot be asked for', async () => {
    const { id, token } = await createToken(owner)
    for (let i = 0; i < 55; i++) await use(token, `/r/${i}`)
    await settled(id, 55)
    const { filter, total } = await read(id, '?route=/r/54')
    expect([filter?.other, total.requests]).to.deep.equal([5, 0])
    for (const route of ['*%20other', '', 'x'.repeat(301)]) {
      const { status, body } = await owner.get(`${TOKENS}/${id}/usage?route=${route}`)
      expect([status, body.errors[0]?.pointer]).to.deep.equal([422, '?route'])
    }
  })

  it('goes on being readable after the token was revoked', async () => {
    const { id, token } = await createToken(owner)
    await use(token)
    await owner.delete(`${TOKENS}/${id}`)
    await settled(id, 1)
  })

  it('of the account adds up its tokens, most used first, the unused at the end', async () => {
    const tokens: Body[] = []
    for (const name of ['a', 'b', 'c']) tokens.push(await createToken(owner, { name }))
    const [a, b, c] = tokens as [Body, Body, Body]
    await use(a.token, '/x', 2)
    now += 1000
    await use(b.token, '/x', 3)
    const body = await eventually(async () => {
      const answer = await owner.get(`${TOKENS}/usage`)
      expect(answer.body.total.requests).to.equal(5)
      return answer.body
    })
    expect(body).to.deep.equal({
      from: '2026-10-24T12:00:01.000Z',
      to: '2026-11-23T12:00:01.000Z',
      granularity: 'day',
      total: { requests: 5, outcomes: { accepted: 5 } },
      last_accessed: '2026-11-23T12:00:01.000Z',
      buckets: [{ at: '2026-11-23T00:00:00.000Z', requests: 5, outcomes: { accepted: 5 } }],
      routes: [{ method: 'GET', route: '/x', requests: 5 }],
      tokens: [
        { token_id: b.id, name: 'b', requests: 3, last_accessed: '2026-11-23T12:00:01.000Z' },
        { token_id: a.id, name: 'a', requests: 2, last_accessed: '2026-11-23T12:00:00.000Z' },
        { token_id: c.id, name: 'c', requests: 0, last_accessed: null },
      ],
    })
    const stranger = callerOf(service.url, bearer(jwtFor('acct_other')))
    expect((await stranger.get(`${TOKENS}/usage`)).body).to.deep.include({ ...UNUSED, tokens: [] })
  })

  it('may be read by a token, which is a use itself', async () => {
    const { id, token } = await createToken(owner)
    const asToken = callerOf(service.url, tokenHeader(token))
    expect((await asToken.get(`${TOKENS}/${id}/usage`)).status).to.equal(200)
    expect((await asToken.get(`${TOKENS}/usage`)).status).to.equal(200)
    await settled(id, 2)
  })
})
