import { expect } from 'chai'
import { CAPS, MANAGEMENT_ROUTES } from '../../projections/tokenActivity.ts'
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

interface SeenCaller {
  requests: number
  first_hour: string
  last_hour: string
}
interface Listed<T> {
  data: (SeenCaller & T)[]
  other: number
  other_first_hour: string | null
  other_last_hour: string | null
}
interface Route {
  method: string
  route: string
  outcomes: Record<string, number>
}
interface Blast {
  token_id: string
  status: string
  since: string
  first_at: string | null
  last_at: string | null
  total: { requests: number; outcomes: Record<string, number> }
  addresses: Listed<{ ip: string | null }>
  user_agents: Listed<{ user_agent: string | null }>
  routes: Listed<Route>
  management: { requests: Listed<Route>; events: { total: number; data: Record<string, unknown>[] } }
  hours: { at: string; requests: number; addresses: number; user_agents: number }[]
  earlier: { hours: number; requests: number }
}

const UNKNOWN = '01890000-0000-7000-8000-000000000000'
const OWNER = { 'X-Forwarded-For': '192.0.2.1', 'User-Agent': 'deploy/1.0' }
const THIEF = { 'X-Forwarded-For': '203.0.113.9', 'User-Agent': 'curl/8.5.0' }

describe('The blast radius of a token', () => {
  let now = 0
  let service: TestService
  let accounts = 0
  let owner: Api
  let token: Body

  before(async () => {
    service = await startLedger({ clock: () => now, trustProxyHops: 1, verifyRequestHeaders: 'x-original' })
  })
  after(() => service.close())
  beforeEach(async () => {
    now = Date.parse('2026-11-23T12:10:00.000Z')
    owner = callerOf(service.url, bearer(jwtFor(`acct_${accounts++}`)))
    token = await createToken(owner)
  })

  const ask = (query = '', id = token.id) => owner.get(`${TOKENS}/${id}/blast-radius${query}`)
  const use = (from: Record<string, string>, route = '/orders', path = '/auth/verify') =>
    callerOf(service.url, tokenHeader(token.token)).get(path, { ...from, 'X-Original-URI': route })

  /** The answer once that many uses are stored. In every answer, the parts add up to the whole. */
  const settled = (requests: number, query = '') =>
    eventually(async () => {
      const found = (await ask(query)).body as unknown as Blast
      expect(found.total.requests).to.equal(requests)
      const sum = ({ data, other }: Listed<object>) => data.reduce((all, row) => all + row.requests, other)
      expect(sum(found.addresses), 'by address').to.equal(requests)
      expect(sum(found.user_agents), 'by agent').to.equal(requests)
      expect(sum(found.routes) + sum(found.management.requests), 'by route').to.equal(requests)
      return found
    })

  it('of one that was never used is empty', async () => {
    const { status, body } = await ask()
    const nothing = { data: [], other: 0, other_first_hour: null, other_last_hour: null }
    expect(status).to.equal(200)
    expect(body).to.deep.include({
      token_id: token.id,
      since: '2026-11-23T12:10:00.000Z',
      first_at: null,
      last_at: null,
      total: { requests: 0, outcomes: {} },
      addresses: nothing,
      user_agents: nothing,
      routes: nothing,
      management: { requests: nothing, events: { total: 0, data: [] } },
      hours: [],
    })
  })

  it('tells the thief from the owner, in the same second', async () => {
    await Promise.all([use(OWNER), use(OWNER), use(THIEF, '/customers'), use(OWNER)])
    const { addresses, user_agents, routes, hours, first_at, last_at } = await settled(4)
    const hour = { first_hour: '2026-11-23T12:00:00.000Z', last_hour: '2026-11-23T12:00:00.000Z' }
    expect(addresses.data).to.deep.equal([
      { ip: '192.0.2.1', requests: 3, ...hour },
      { ip: '203.0.113.9', requests: 1, ...hour },
    ])
    expect(user_agents.data.map((row) => [row.user_agent, row.requests])).to.deep.equal([
      ['deploy/1.0', 3],
      ['curl/8.5.0', 1],
    ])
    expect(routes.data.map(({ route, outcomes }) => [route, outcomes])).to.deep.equal([
      ['/orders', { accepted: 3 }],
      ['/customers', { accepted: 1 }],
    ])
    expect(hours).to.have.lengthOf(1)
    expect(hours[0]).to.include({ requests: 4, addresses: 2, user_agents: 2 })
    expect([first_at, last_at]).to.deep.equal(['2026-11-23T12:10:00.000Z', '2026-11-23T12:10:00.000Z'])
  })

  it('shows what it did where tokens are managed, with outcomes, and what it caused', async () => {
    const asThief = callerOf(service.url, { ...tokenHeader(token.token), ...THIEF })
    await asThief.post(TOKENS, { name: 'mine' })
    await asThief.get(TOKENS)
    await asThief.get(`${TOKENS}/${UNKNOWN}`)
    await asThief.get(`${TOKENS}/${token.id}`)
    await use(THIEF)
    await asThief.delete(`${TOKENS}/self`, { 'X-Request-Id': 'the-end' })
    const { management, routes, status } = await settled(6)
    expect(status).to.equal('revoked')
    expect(management.requests.data.map((row) => [row.method, row.route, row.outcomes])).to.have.deep.members(
      [
        ['POST', TOKENS, { '4xx': 1 }],
        ['GET', TOKENS, { '2xx': 1 }],
        ['GET', `${TOKENS}/:id`, { '2xx': 1, '4xx': 1 }],
        ['DELETE', `${TOKENS}/self`, { '2xx': 1 }],
      ],
    )
    expect(routes.data.map(({ route }) => route)).to.deep.equal(['/orders'])
    expect(management.events.total).to.equal(1)
    expect(management.events.data[0]).to.deep.include({
      type: 'TokenRevoked',
      at: '2026-11-23T12:10:00.000Z',
      token_id: token.id,
      revision: 1,
      request_id: 'the-end',
      ip: '203.0.113.9',
      user_agent: 'curl/8.5.0',
    })
  })

  it('does not take for its own what others did to it', async () => {
    await owner.patch(`${TOKENS}/${token.id}`, { name: 'renamed' })
    await owner.delete(`${TOKENS}/${token.id}`)
    expect((await settled(0)).management.events.total).to.equal(0)
  })

  it('begins with the hour that it is asked from', async () => {
    for (const [i, time] of ['12:30:00', '13:59:59', '14:00:00', '15:20:00'].entries()) {
      now = Date.parse(`2026-11-23T${time}.000Z`)
      await use({ ...OWNER, 'X-Forwarded-For': `192.0.2.${i}` })
      await settled(i + 1)
    }
    const from = (time: string, requests: number) => settled(requests, `?since=2026-11-23T${time}`)
    expect((await from('14:20:00Z', 2)).first_at).to.equal('2026-11-23T14:00:00.000Z')
    expect((await from('13:00:00Z', 3)).addresses.data.map(({ ip }) => ip)).to.not.include('192.0.2.0')
    expect((await from('15:00:00%2B01:00', 2)).since).to.equal('2026-11-23T14:00:00.000Z')
    const { hours, addresses } = await from('00:00:00Z', 4)
    expect(hours.map(({ at }) => at.slice(11, 13))).to.deep.equal(['12', '13', '14', '15'])
    expect(addresses.data.find(({ ip }) => ip === '192.0.2.1')).to.include({
      first_hour: '2026-11-23T13:00:00.000Z',
      last_hour: '2026-11-23T13:00:00.000Z',
    })
  })

  it('keeps the words of callers as they are, whatever they are', async () => {
    const words = ['__proto__', '* other', '* none', '**', 'a.b', '$set', 'constructor']
    for (const word of words) await use({ 'X-Forwarded-For': word, 'User-Agent': word }, `/${word}`)
    const { addresses, user_agents, routes } = await settled(words.length)
    expect(
      addresses.data.map(({ ip }) => ip),
      'a word is no address',
    ).to.deep.equal([null])
    expect(user_agents.data.map((row) => row.user_agent)).to.have.members(words)
    expect(routes.data.map(({ route }) => route)).to.include.members(['/__proto__', '/a.b', '/$set'])
    expect([addresses.other, user_agents.other]).to.deep.equal([0, 0])
  })

  it('counts as others what is beyond the names of an hour, and never crowds out management', async () => {
    for (let i = 0; i < 110; i++) {
      await use({ 'X-Forwarded-For': `192.0.2.${i}`, 'User-Agent': `agent ${i}` }, `/r/${i}`)
      // A window lists twenty callers. On a slow machine, more than that would come into one window.
      if (i % 10 === 9) await settled(i + 1)
    }
    await callerOf(service.url, { ...tokenHeader(token.token), ...THIEF }).get(`${TOKENS}/self`)
    const { addresses, user_agents, routes, management } = await settled(111)
    expect(addresses).to.nested.include({ 'data.length': 100, other: 11 })
    expect(user_agents).to.nested.include({ 'data.length': 50, other: 61 })
    expect(routes).to.nested.include({ 'data.length': 100, other: 10 })
    expect(management.requests.data.map(({ route }) => route)).to.deep.equal([`${TOKENS}/self`])
    const hour = { other_first_hour: '2026-11-23T12:00:00.000Z', other_last_hour: '2026-11-23T12:00:00.000Z' }
    for (const list of [addresses, user_agents, routes]) expect(list).to.include(hour)
    expect(management.requests.other_first_hour).to.equal(null)
  })

  it('shows what it did where tokens are managed, however many paths and methods it invents behind a proxy', async () => {
    const asThief = callerOf(service.url, tokenHeader(token.token))
    const invent = (i: number) => use(THIEF, `${TOKENS}/${i % 3 === 0 ? `${i}/${i}` : i}`)
    for (let i = 0; i < 120; i++) {
      await (i % 2 === 0
        ? invent(i)
        : use({ ...THIEF, 'X-Original-Method': `BREW${'A'.repeat(i % 15)}` }, TOKENS))
    }
    for (let i = 0; i < 60; i++) await use(THIEF, `/invented/${i}`)
    await asThief.get(TOKENS)
    await asThief.get(`${TOKENS}/${token.id}/usage`)
    await asThief.delete(`${TOKENS}/${token.id}`)
    const { management } = await settled(183)
    const rows = management.requests.data.map(({ method, route, requests }) => [method, route, requests])
    expect(management.requests.other).to.equal(0)
    expect(rows).to.have.deep.members([
      ['*', `${TOKENS}/*`, 80],
      ['GET', `${TOKENS}/:id`, 40],
      ['GET', TOKENS, 1],
      ['GET', `${TOKENS}/:id/usage`, 1],
      ['DELETE', `${TOKENS}/:id`, 1],
    ])
  })

  it('tells the routes apart that are served where tokens are managed, and has room for all of them', async () => {
    const { paths } = (await callerOf(service.url).get('/openapi.json')).body as unknown as {
      paths: Record<string, object>
    }
    const served = Object.entries(paths)
      .filter(([path]) => path.startsWith(TOKENS))
      .map(([path, methods]) => [
        path.slice(TOKENS.length).replace(/\{(\w+)\}/g, ':$1'),
        Object.keys(methods).flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : method.toUpperCase())),
      ])
    expect(MANAGEMENT_ROUTES).to.deep.equal(Object.fromEntries(served))
    const outcomes = ['1xx', '2xx', '3xx', '4xx', '5xx', 'aborted', 'accepted', 'unknown']
    const told = Object.values(MANAGEMENT_ROUTES).flat().length + 1
    expect(told * outcomes.length).to.be.at.most(CAPS.management)
  })

  it('refuses what is no time, and one to come', async () => {
    for (const query of ['?since=yesterday', '?since=', '?since=2026-11-23T12:10:00.001Z', '?from=x']) {
      const { status, body } = await ask(query)
      expect(status, query).to.equal(422)
      expect(body.errors[0]?.pointer).to.equal(query.split('=')[0])
    }
  })

  it("is the account's own, and not for tokens", async () => {
    expect((await ask('', UNKNOWN)).status).to.equal(404)
    const stranger = callerOf(service.url, bearer(jwtFor('acct_other')))
    expect((await stranger.get(`${TOKENS}/${token.id}/blast-radius`)).status).to.equal(404)
    const { status, body } = await callerOf(service.url, tokenHeader(token.token)).get(
      `${TOKENS}/${token.id}/blast-radius`,
    )
    expect([status, body.code]).to.deep.equal([403, 'token_may_not_manage'])
    expect((await callerOf(service.url).get(`${TOKENS}/${token.id}/blast-radius`)).status).to.equal(401)
  })
})
