import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import Koa from 'koa'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { sendRaw } from '../support/callers/raw.ts'

const NOTHING_SENT = 'Bearer realm="tokenledger"'
const BAD = 'Bearer realm="tokenledger", error="invalid_token"'
const UNKNOWN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'
const VERIFY = '/auth/verify'

describe('Credentials', () => {
  const jwt = jwtFor('acct_1')
  let now = Date.now()
  let service: TestService
  let anyone: Api
  let owner: Api
  let token: Body

  before(async () => {
    service = await startLedger({ clock: () => now })
    anyone = callerOf(service.url)
    owner = anyone.with(bearer(jwt))
    token = await createToken(owner, { scopes: ['a'] })
  })
  after(() => service.close())

  const verify = (headers: Record<string, string>) => anyone.get(VERIFY, headers)

  it('takes a token from its own header, whatever its case', async () => {
    for (const name of ['X-API-Token', 'x-api-token', 'X-Api-TOKEN']) {
      const { status, body } = await verify({ [name]: token.token })
      expect(status).to.equal(200)
      expect(body).to.deep.equal({ kind: 'token', account_id: 'acct_1', token_id: token.id, scopes: ['a'] })
    }
  })

  it('takes a token after Bearer, by its prefix', async () => {
    const { body } = await verify(bearer(token.token))
    expect(body).to.include({ kind: 'token', token_id: token.id })
  })

  it('takes a JWT after Bearer, and knows the scheme in any case', async () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      const { status, body } = await verify({ Authorization: `${scheme} ${jwt}` })
      expect(status).to.equal(200)
      expect(body).to.deep.equal({ kind: 'jwt', account_id: 'acct_1', token_id: null, scopes: [] })
    }
  })

  it('lets the token header decide alone: a good one beside a bad JWT, never a bad one beside a good JWT', async () => {
    expect((await verify({ ...tokenHeader(token.token), ...bearer('not-a-jwt') })).status).to.equal(200)
    for (const bad of ['', 'nonsense', UNKNOWN, jwt]) {
      const { status, headers } = await verify({ ...tokenHeader(bad), ...bearer(jwt) })
      expect(status, bad).to.equal(401)
      expect(headers.get('www-authenticate'), bad).to.equal(BAD)
    }
  })

  it('answers a request without a credential with a bare challenge', async () => {
    const { status, headers, body } = await verify({})
    expect(status).to.equal(401)
    expect(headers.get('www-authenticate')).to.equal(NOTHING_SENT)
    expect(body.code).to.equal('unauthorized')
  })

  it('holds another scheme for no credential', async () => {
    for (const value of [
      'Basic dTpw',
      'Token abc',
      'Bearerx abc',
      `Digest ${jwt}`,
      `Bearer\u00A0${jwt}`,
      '',
    ]) {
      const { status, headers } = await sendRaw(service.url, 'GET', VERIFY, [['Authorization', value]])
      expect(status, value).to.equal(401)
      expect(headers.get('www-authenticate'), value).to.equal(NOTHING_SENT)
    }
  })

  it('holds an empty token header, and Bearer with nothing after it, for a bad credential', async () => {
    for (const header of [
      ['X-API-Token', ''],
      ['X-API-Token', '   '],
      ['Authorization', 'Bearer'],
      ['Authorization', 'Bearer '],
      ['Authorization', 'bearer    '],
    ] as const) {
      const { status, headers } = await sendRaw(service.url, 'GET', VERIFY, [header])
      expect(status, header.join()).to.equal(401)
      expect(headers.get('www-authenticate'), header.join()).to.equal(BAD)
    }
  })

  it('has one body for unknown, revoked, expired, malformed and foreign credentials', async () => {
    const revoked = await createToken(owner)
    await owner.delete(`${TOKENS}/${revoked.id}`)
    const expired = await createToken(owner, { expires_at: new Date(now + 1000).toISOString() })
    now += 2000
    const bad = [
      tokenHeader(UNKNOWN),
      tokenHeader(revoked.token),
      tokenHeader(expired.token),
      tokenHeader('nonsense'),
      tokenHeader(`${token.token}x`),
      tokenHeader(`${token.token}, ${token.token}`),
      bearer('tkl_nonsense'),
      bearer('nonsense'),
      bearer(`${jwt}x`),
      bearer(jwtFor('acct_1', { exp: 1 })),
    ]
    const answers = await Promise.all(bad.map(verify))
    for (const { status, headers, body } of answers) {
      expect(status).to.equal(401)
      expect(headers.get('www-authenticate')).to.equal(BAD)
      expect({ ...body, request_id: '' }).to.deep.equal({ ...answers[0]?.body, request_id: '' })
    }
  })

  it('refuses two headers of a kind on every route, and none at all on every route that needs one', async () => {
    const twice = {
      Authorization: [`Bearer ${jwt}`, 'Basic dTpw'],
      'X-API-Token': [token.token, token.token],
    }
    for (const { method, path } of await closedRoutes(service.url)) {
      for (const [name, values] of Object.entries(twice)) {
        const headers = values.map((value) => [name, value] as const)
        const { status, text } = await sendRaw(service.url, method, path, headers)
        expect(status, `${method} ${path}`).to.equal(400)
        if (method !== 'HEAD') expect(JSON.parse(text).code).to.equal('duplicate_credential')
      }
      const bare = await sendRaw(service.url, method, path, [])
      expect(bare.status, `${method} ${path}`).to.equal(401)
    }
  })

  it('refuses two headers of a kind that differ in case only', async () => {
    const { status } = await sendRaw(service.url, 'GET', VERIFY, [
      ['authorization', `Bearer ${jwt}`],
      ['AUTHORIZATION', `Bearer ${jwt}`],
    ])
    expect(status).to.equal(400)
  })

  it('lets one header of each kind stand together', async () => {
    const { status } = await verify({ ...tokenHeader(token.token), ...bearer(jwt) })
    expect(status).to.equal(200)
  })

  it('never reads a token from query, body or cookie', async () => {
    const query = new URLSearchParams({ token: token.token, access_token: jwt, api_token: token.token })
    expect((await anyone.get(`${VERIFY}?${query}`)).status).to.equal(401)
    expect((await anyone.send('POST', VERIFY, { body: { token: token.token } })).status).to.equal(401)
    expect(
      (await anyone.get(VERIFY, { Cookie: `token=${token.token}; X-API-Token=${token.token}` })).status,
    ).to.equal(401)
  })

  it('authenticates before it reads query or body', async () => {
    expect((await anyone.get(`${TOKENS}?nonsense=1`)).status).to.equal(401)
    expect((await anyone.post(TOKENS, '{"broken', { 'Content-Type': 'application/json' })).status).to.equal(
      401,
    )
    expect((await anyone.patch(`${TOKENS}/nonsense`, 'x'.repeat(40_000))).status).to.equal(401)
    expect((await anyone.delete(`${TOKENS}/nonsense?reason=${'x'.repeat(300)}`)).status).to.equal(401)
  })

  it('takes the header and the prefix from the settings', async () => {
    const other = await startLedger({ apiTokenHeader: 'X-Acme-Key', tokenPrefix: 'acme2' })
    try {
      const caller = callerOf(other.url)
      const { token: acme, hint } = await createToken(caller.with(bearer(jwt)))
      expect(acme).to.match(/^acme2_[0-9A-Za-z]{49}$/)
      expect(hint).to.equal(`acme2_…${acme.slice(-10, -6)}`)
      expect((await caller.get(VERIFY, { 'X-Acme-Key': acme })).status).to.equal(200)
      expect((await caller.get(VERIFY, bearer(acme))).status).to.equal(200)
      expect((await caller.get(VERIFY, tokenHeader(acme))).status).to.equal(401)
      expect((await caller.get(VERIFY, { 'X-Acme-Key': UNKNOWN })).status).to.equal(401)
    } finally {
      await other.close()
    }
  })
})

describe('A host app behind authenticate()', () => {
  const jwt = jwtFor('acct_1')
  let service: TestService
  let token: Body
  let url: string
  let close: () => void

  before(async () => {
    service = await startLedger({ resolveAccount: (id) => (id === 'acct_gone' ? null : { id, plan: 'pro' }) })
    token = await createToken(callerOf(service.url, bearer(jwt)), { scopes: ['orders:read'] })
    const app = new Koa()
    const { ledger } = service
    const required = ledger.authenticate()
    const optional = ledger.authenticate({ optional: true })
    const scoped = ledger.requireScope('orders:read')
    const answer: Koa.Middleware = (ctx) => {
      ctx.body = { principal: ctx.state.principal ?? null, account: ctx.state.account ?? null }
    }
    app.use((ctx, next) => (ctx.path === '/optional' ? optional : required)(ctx, next))
    app.use((ctx, next) => (ctx.path === '/scoped' ? scoped(ctx, next) : next()))
    app.use(answer)
    const handle = app.callback()
    const server = createServer((request, response) => void handle(request, response)).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    close = () => {
      server.close()
      server.closeAllConnections()
    }
  })
  after(async () => {
    close()
    await service.close()
  })

  it('finds principal and account in ctx.state', async () => {
    const withToken = await (await fetch(`${url}/`, { headers: tokenHeader(token.token) })).json()
    expect(withToken).to.deep.equal({
      principal: {
        kind: 'token',
        accountId: 'acct_1',
        tokenId: token.id,
        scopes: ['orders:read'],
        metadata: {},
      },
      account: { id: 'acct_1', plan: 'pro' },
    })
    const withJwt = await (await fetch(`${url}/`, { headers: bearer(jwt) })).json()
    expect(withJwt).to.deep.include({ principal: { kind: 'jwt', accountId: 'acct_1', scopes: [] } })
  })

  it('refuses an account that the host does not know', async () => {
    const { status, headers } = await fetch(`${url}/`, { headers: bearer(jwtFor('acct_gone')) })
    expect(status).to.equal(401)
    expect(headers.get('www-authenticate')).to.equal(BAD)
  })

  it('is anonymous with `optional` and no credential, or another scheme', async () => {
    const none: Record<string, string>[] = [{}, { Authorization: 'Basic dTpw' }]
    for (const headers of none) {
      const response = await fetch(`${url}/optional`, { headers })
      expect(response.status).to.equal(200)
      expect(await response.json()).to.deep.equal({ principal: null, account: null })
    }
  })

  it('refuses a bad credential even with `optional`', async () => {
    for (const headers of [tokenHeader(''), tokenHeader(UNKNOWN), bearer(''), bearer('x'), bearer(UNKNOWN)]) {
      const { status, headers: answered } = await fetch(`${url}/optional`, { headers })
      expect(status).to.equal(401)
      expect(answered.get('www-authenticate')).to.equal(BAD)
    }
  })

  it('answers 403 where the scope is missing, 401 where the credential is', async () => {
    expect((await fetch(`${url}/scoped`, { headers: tokenHeader(token.token) })).status).to.equal(200)
    const without = await fetch(`${url}/scoped`, { headers: bearer(jwt) })
    expect(without.status).to.equal(403)
    expect(without.headers.get('www-authenticate')).to.equal(
      `${NOTHING_SENT}, error="insufficient_scope", scope="orders:read"`,
    )
    expect(((await without.json()) as Body).code).to.equal('insufficient_scope')
    expect((await fetch(`${url}/scoped`)).status).to.equal(401)
  })
})

/** All described routes that are not open, with a value in place of each parameter. */
async function closedRoutes(url: string): Promise<{ method: string; path: string }[]> {
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { security: object[] }>>
  }
  return Object.entries(paths).flatMap(([template, item]) =>
    Object.entries(item)
      .filter(([, { security }]) => security.length > 0)
      .map(([method]) => ({ method: method.toUpperCase(), path: template.replace(/\{\w+\}/g, 'any') })),
  )
}
