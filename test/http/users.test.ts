import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import Koa, { type Context } from 'koa'
import type { TokenLedger, TokenLedgerOptions, User } from '../../src/index.ts'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

type Options = TokenLedgerOptions

/** The host's login. The header says who is logged in. */
const LOGIN = 'X-Login'
let asked: string[] = []
const resolveUser = (ctx: Context): User | null => {
  asked.push(`${ctx.method} ${ctx.path}`)
  const login = ctx.get(LOGIN)
  return login === '' ? null : (JSON.parse(login) as User)
}
const login = (user: unknown): Record<string, string> => ({ [LOGIN]: JSON.stringify(user) })
const ADA: User = { accountId: 'acct_1', subject: 'ada' }

describe('A user of the host', () => {
  let service: TestService
  let ada: Api
  let known: Record<string, { plan: string } | null>
  before(async () => {
    known = {}
    service = await startLedger({
      resolveUser,
      resolveAccount: (id) => (id in known ? (known[id] ?? null) : { id }),
      maxTokensPerAccount: 10_000,
    })
    ada = callerOf(service.url, login(ADA))
  })
  after(() => service.close())
  beforeEach(() => {
    asked = []
  })

  it('manages the tokens of the account as a JWT does', async () => {
    const { id, token, account_id } = await createToken(ada, { scopes: ['a'] })
    expect(account_id).to.equal('acct_1')
    expect((await ada.get(TOKENS)).status).to.equal(200)
    expect((await ada.patch(`${TOKENS}/${id}`, { name: 'new' })).body.name).to.equal('new')
    for (const path of [
      `/${id}`,
      `/${id}/events`,
      `/${id}/usage`,
      `/${id}/blast-radius`,
      '/usage',
      '/report',
    ])
      expect((await ada.get(TOKENS + path)).status, path).to.equal(200)
    expect((await ada.delete(`${TOKENS}/${id}?reason=done`)).status).to.equal(204)
    expect((await callerOf(service.url, tokenHeader(token)).get('/auth/verify')).status).to.equal(401)
    const owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    const { body } = await owner.get(`${TOKENS}/${id}/events`)
    expect(body.data.map(({ type, actor }) => [type, actor])).to.deep.equal(
      ['TokenCreated', 'TokenUpdated', 'TokenRevoked'].map((type) => [type, { kind: 'user', id: 'ada' }]),
    )
  })

  it('is the account in the history where the host does not say who it is', async () => {
    const nobody = callerOf(service.url, login({ accountId: 'acct_1' }))
    const { id } = await createToken(nobody)
    expect((await nobody.get(`${TOKENS}/${id}/events`)).body.data[0]?.actor).to.deep.equal({
      kind: 'user',
      id: 'acct_1',
    })
  })

  it('sees nothing of other accounts, and has no self', async () => {
    const { id } = await createToken(callerOf(service.url, bearer(jwtFor('acct_2'))))
    for (const path of [`${TOKENS}/${id}`, `${TOKENS}/self`]) {
      expect((await ada.get(path)).status, path).to.equal(404)
      expect((await ada.delete(path)).status, path).to.equal(404)
    }
    expect((await ada.patch(`${TOKENS}/${id}`, { name: 'x' })).status).to.equal(404)
  })

  it('is asked for where no credential was sent, and never beside one', async () => {
    const { token } = await createToken(callerOf(service.url, bearer(jwtFor('acct_2'))))
    const status = async (headers: Record<string, string>) => (await ada.get(TOKENS, headers)).status
    expect(await status(bearer(jwtFor('acct_2')))).to.equal(200)
    expect(await status(tokenHeader(token))).to.equal(200)
    expect(await status(tokenHeader('nonsense'))).to.equal(401)
    expect(await status(tokenHeader(''))).to.equal(401)
    expect(await status(bearer('nonsense'))).to.equal(401)
    expect(await status({ Authorization: 'Bearer' })).to.equal(401)
    expect(asked).to.deep.equal([])
    expect(await status({ Authorization: 'Basic eDp5' }), 'another scheme is no credential').to.equal(200)
    expect(asked).to.deep.equal([`GET ${TOKENS}`])
  })

  it('is never asked for beside a credential on the page either', async () => {
    const headers = { ...login(ADA), ...bearer(jwtFor('acct_2')) }
    const answer = await fetch(`${service.url}/tokens/api/session`, { headers })
    expect(await answer.json()).to.include({ account_id: 'acct_2', is_operator: false })
    expect(asked).to.deep.equal([])
  })

  it('is asked for the routes where tokens are managed only', async () => {
    for (const path of ['/auth/verify', '/auth/verify/x', '/health/live', '/openapi.json', '/nowhere'])
      await ada.get(path)
    expect((await ada.get('/auth/verify')).status).to.equal(401)
    expect((await ada.send('PUT', TOKENS)).status).to.equal(405)
    expect(asked).to.deep.equal([])
  })

  it('is nobody where the host says so: 401 without error', async () => {
    const { status, headers } = await callerOf(service.url).get(TOKENS)
    expect(status).to.equal(401)
    expect(headers.get('www-authenticate')).to.equal('Bearer realm="tokenledger"')
    expect((await callerOf(service.url).post(TOKENS, { name: 'x' })).status).to.equal(401)
  })

  it('of an account that the host has closed is nobody', async () => {
    known.acct_9 = null
    const { status, headers } = await callerOf(service.url, login({ accountId: 'acct_9' })).get(TOKENS)
    expect([status, headers.get('www-authenticate')]).to.deep.equal([401, 'Bearer realm="tokenledger"'])
  })

  it('who may read only changes nothing', async () => {
    const reader = callerOf(service.url, login({ ...ADA, can: ['read'] }))
    const { id } = await createToken(ada)
    expect((await reader.get(`${TOKENS}/${id}`)).status).to.equal(200)
    expect((await reader.get(TOKENS)).status).to.equal(200)
    const refused = [
      await reader.post(TOKENS, { name: 'x' }),
      await reader.patch(`${TOKENS}/${id}`, { name: 'x' }),
      await reader.delete(`${TOKENS}/${id}`),
      await reader.post(TOKENS, '{"broken'),
      await reader.delete(`${TOKENS}/unknown`),
    ]
    for (const { status, body } of refused) expect([status, body.code]).to.deep.equal([403, 'read_only'])
    const writer = callerOf(service.url, login({ ...ADA, can: ['read', 'write'] }))
    expect((await writer.delete(`${TOKENS}/${id}`)).status).to.equal(204)
  })

  it('gives out the scopes only that the host says the user has', async () => {
    const create = (user: object, ...scopes: string[]) =>
      callerOf(service.url, login(user)).post(TOKENS, { name: 'x', scopes })
    expect((await create({ ...ADA, scopes: ['a', 'Odd Name'] }, 'a')).status).to.equal(201)
    expect((await create({ ...ADA, scopes: ['a'] }, 'b')).body.code).to.equal('scope_not_grantable')
    expect((await create({ ...ADA, scopes: [] }, 'b')).status).to.equal(403)
    expect((await create(ADA, 'b')).status).to.equal(201)
    expect((await create({ ...ADA, operator: true, scopes: [] }, 'b')).status).to.equal(403)
  })

  it('has the writes of the account, and no others', async () => {
    const limited = await startLedger({ resolveUser, rateLimitWritesPerMinute: 1 })
    try {
      expect((await callerOf(limited.url, login(ADA)).post(TOKENS, { name: 'x' })).status).to.equal(201)
      expect((await callerOf(limited.url, bearer(jwtFor('acct_1'))).post(TOKENS, {})).status).to.equal(429)
    } finally {
      await limited.close()
    }
  })

  describe('by a page of another origin', () => {
    const EVIL = 'https://evil.example'
    let trusting: TestService
    before(async () => {
      trusting = await startLedger({ resolveUser, trustedOrigins: ['https://App.Example.com:443'] })
    })
    after(() => trusting.close())

    const statusOf = async (headers: Record<string, string>, api = ada) => {
      const { status, body } = await api.post(TOKENS, { name: 'x' }, headers)
      return status === 403 ? body.code : status
    }
    const own = () => new URL(service.url).origin

    it('changes nothing', async () => {
      const { id } = await createToken(ada)
      const sites: Record<string, string>[] = [{ Origin: EVIL }, { 'Sec-Fetch-Site': 'cross-site' }]
      for (const headers of sites) {
        for (const [method, path] of [
          ['POST', TOKENS],
          ['PATCH', `${TOKENS}/${id}`],
          ['DELETE', `${TOKENS}/${id}`],
          ['DELETE', `${TOKENS}/self`],
        ] as const) {
          const { status, body } = await ada.send(method, path, { headers, body: '{"broken' })
          expect([status, body.code], `${method} ${path}`).to.deep.equal([403, 'cross_origin'])
        }
      }
      expect((await ada.get(`${TOKENS}/${id}`)).body.revision).to.equal(0)
    })

    it('reads what the browser lets it: safe methods are not looked at', async () => {
      for (const method of ['GET', 'HEAD'])
        expect((await ada.send(method, TOKENS, { headers: { Origin: EVIL } })).status).to.equal(200)
    })

    it('is told from one of the own origin by Sec-Fetch-Site, whatever Origin says', async () => {
      for (const site of ['same-origin', 'none']) {
        expect(await statusOf({ 'Sec-Fetch-Site': site }), site).to.equal(201)
        expect(await statusOf({ 'Sec-Fetch-Site': site, Origin: 'null' }), site).to.equal(201)
        expect(await statusOf({ 'Sec-Fetch-Site': site, Origin: EVIL }), site).to.equal(201)
      }
      for (const site of [
        'cross-site',
        'same-site',
        'Same-Origin',
        'none, none',
        'none, cross-site',
        'x',
        '',
      ]) {
        expect(await statusOf({ 'Sec-Fetch-Site': site }), site).to.equal('cross_origin')
        expect(await statusOf({ 'Sec-Fetch-Site': site, Origin: own() }), site).to.equal('cross_origin')
      }
    })

    it('is told by Origin where the browser is older', async () => {
      expect(await statusOf({})).to.equal(201)
      expect(await statusOf({ Origin: own() })).to.equal(201)
      expect(await statusOf({ Origin: own().toUpperCase() })).to.equal(201)
      const { port } = new URL(own())
      for (const Origin of [
        EVIL,
        'null',
        'x',
        `${own()}/`,
        `http://127.0.0.1`,
        `http://127.0.0.1.evil.example:${port}`,
        `http://localhost:${port}`,
        `${own()}, ${own()}`,
      ])
        expect(await statusOf({ Origin }), Origin).to.equal('cross_origin')
    })

    it('may change something if its origin is trusted', async () => {
      const api = callerOf(trusting.url, login(ADA))
      const site = { 'Sec-Fetch-Site': 'cross-site' }
      for (const Origin of ['https://app.example.com', 'https://APP.example.com:443']) {
        expect(await statusOf({ Origin }, api), Origin).to.equal(201)
        expect(await statusOf({ Origin, ...site }, api), Origin).to.equal(201)
      }
      for (const Origin of [
        'http://app.example.com',
        'https://app.example.com:444',
        'https://example.com',
        EVIL,
      ])
        expect(await statusOf({ Origin, ...site }, api), Origin).to.equal('cross_origin')
    })

    it('does what it likes with a credential of its own', async () => {
      const owner = callerOf(service.url, bearer(jwtFor('acct_1')))
      const { id, token } = await createToken(owner)
      const headers = { Origin: EVIL, 'Sec-Fetch-Site': 'cross-site' }
      expect((await owner.patch(`${TOKENS}/${id}`, { name: 'x' }, headers)).status).to.equal(200)
      expect(
        (await callerOf(service.url, tokenHeader(token)).delete(`${TOKENS}/self`, headers)).status,
      ).to.equal(204)
      expect((await callerOf(service.url).post(TOKENS, {}, headers)).status, 'nobody').to.equal(401)
    })
  })

  it('names origins only that are origins', async () => {
    for (const trustedOrigins of [
      ['null'],
      ['*'],
      ['https://a/'],
      ['a.example'],
      ['https://a', 1],
      'https://a',
      [null],
    ]) {
      const started = startLedger({ trustedOrigins } as Options).then(
        (one) => one.close().then(() => 'started'),
        ({ problems: [problem] }) => problem,
      )
      expect(await started, JSON.stringify(trustedOrigins)).to.match(
        /^trustedOrigins must be a list of origins/,
      )
    }
  })
})

describe('What resolveUser returns', () => {
  let ledger: TokenLedger
  let service: TestService
  let url: string
  let returned: unknown
  let logged: { fields: { requestId?: string; err?: unknown }; message: string }[] = []
  let emitted: unknown[] = []
  let server: ReturnType<Koa['listen']>

  before(async () => {
    const log = {
      debug() {},
      info() {},
      warn() {},
      error: (fields: object, message: string) => void logged.push({ fields, message }),
    }
    const resolve = () => {
      if (returned instanceof Error) throw returned
      return (typeof returned === 'function' ? returned() : returned) as User
    }
    service = await startLedger({ resolveUser: resolve, log })
    ledger = service.ledger
    const app = new Koa()
    app.on('error', (error) => emitted.push(error))
    app.use(ledger.routes())
    app.use(ledger.authenticate())
    server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(async () => {
    await new Promise((resolve) => server.close(resolve))
    await service.close()
  })
  beforeEach(() => {
    logged = []
    emitted = []
  })

  const answerTo = async (value: unknown) => {
    returned = value
    const answer = await fetch(url + TOKENS)
    return {
      status: answer.status,
      body: (await answer.json()) as { code: string; request_id: string; detail: string },
    }
  }

  for (const value of [
    undefined,
    false,
    true,
    'acct_1',
    7,
    [],
    ['acct_1'],
    {},
    { subject: 'ada' },
    { accountId: '' },
    { accountId: null },
    { accountId: 7 },
    { accountId: 'a\nb' },
    { accountId: 'a'.repeat(256) },
    { accountId: 'a', subject: '' },
    { accountId: 'a', subject: null },
    { accountId: 'a', subject: 7 },
    { accountId: 'a', scopes: 'a b' },
    { accountId: 'a', scopes: null },
    { accountId: 'a', scopes: ['a', 1] },
    { accountId: 'a', scopes: {} },
    { accountId: 'a', can: [] },
    { accountId: 'a', can: ['write'] },
    { accountId: 'a', can: ['read', 'operate'] },
    { accountId: 'a', can: 'read' },
    { accountId: 'a', can: null },
    { accountId: 'a', operator: 'yes' },
    { accountId: 'a', scope: ['a'] },
    Promise.resolve('acct_1'),
  ]) {
    it(`is the host's error where it is ${value instanceof Promise ? 'a promise of a text' : JSON.stringify(value)}`, async () => {
      const { status, body } = await answerTo(value)
      expect([status, body.code]).to.deep.equal([500, 'internal_error'])
      expect(body.detail).to.not.contain('resolveUser')
      expect(emitted.map(String)).to.have.lengthOf(1)
      expect(String(emitted[0])).to.match(/^TypeError: resolveUser /)
      expect(logged.map(({ fields }) => fields.requestId)).to.deep.equal([body.request_id])
    })
  }

  it('is the host’s error where it throws or rejects, whatever it throws', async () => {
    const error = Object.assign(new Error('the session store is down'), { status: 401, code: 'unauthorized' })
    for (const value of [error, () => Promise.reject(error)]) {
      emitted = []
      expect((await answerTo(value)).status).to.equal(500)
      expect(emitted).to.deep.equal([error])
    }
  })

  for (const [what, value] of Object.entries({
    'an instance whose getter gives no id': new (class {
      get accountId() {
        return 7
      }
    })(),
    'an instance whose getter gives scopes that are none': new (class {
      readonly accountId = 'a'
      get scopes() {
        return 'a b'
      }
    })(),
    'an object that inherits its account': Object.create({ accountId: 'a ' }),
    'an object that inherits a member that is not known': Object.create({ accountId: 'a', scope: ['a'] }),
    'an object with scopes that are left out': { accountId: 'a', scopes: Array.from({ length: 2 }) },
  })) {
    it(`is the host's error where it is ${what}`, async () => {
      expect((await answerTo(value)).status).to.equal(500)
      expect(String(emitted[0])).to.match(/^TypeError: resolveUser /)
    })
  }

  it('is read once and copied, so that it cannot become another one afterwards', async () => {
    const scopes = ['a']
    let reads = 0
    returned = {
      get accountId() {
        return reads++ === 0 ? 'acct_1' : 'acct_2 '
      },
      scopes: new Proxy(scopes, {
        get: (target, name) => (name === 'includes' ? () => true : Reflect.get(target, name)),
      }),
    }
    const headers = { 'Content-Type': 'application/json' }
    const body = JSON.stringify({ name: 'x', scopes: ['b'] })
    const refused = await fetch(url + TOKENS, { method: 'POST', headers, body })
    expect(refused.status).to.equal(403)
    reads = 0
    const made = await fetch(url + TOKENS, { method: 'POST', headers, body: '{"name":"x","scopes":["a"]}' })
    expect(await made.json()).to.include({ account_id: 'acct_1' })
    expect(reads).to.equal(1)
  })

  it('may be a promise, and may leave members undefined', async () => {
    for (const value of [
      { accountId: 'a' },
      Promise.resolve({ accountId: 'a', subject: 'b', scopes: [], can: ['read', 'write'], operator: false }),
      { accountId: 'a', subject: undefined, scopes: undefined, can: undefined },
    ])
      expect((await answerTo(value)).status).to.equal(200)
    for (const value of [null, Promise.resolve(null)]) expect((await answerTo(value)).status).to.equal(401)
    expect([emitted, logged]).to.deep.equal([[], []])
  })
})
