import { expect } from 'chai'
import { type Api, type Body, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/caller.ts'
import { eventually } from '../support/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/ledger.ts'
import { answersIn, exchange } from '../support/raw.ts'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
const VERIFY = '/auth/verify'

describe('/auth/verify', () => {
  let service: TestService
  let owner: Api
  let token: Body
  let asToken: Api

  before(async () => {
    service = await startLedger({ maxTokensPerAccount: 1000 })
    owner = callerOf(service.url, bearer(jwtFor('acct_1', { scope: 'orders:read admin NOT-A-SCOPE' })))
  })
  after(() => service.close())
  beforeEach(async () => {
    const admin = callerOf(service.url, bearer(jwtFor('acct_1')))
    token = await createToken(admin, { scopes: ['orders:read', 'orders:write'] })
    asToken = callerOf(service.url, tokenHeader(token.token))
  })

  /** The only route that the token was used on. */
  const routeOf = (id: string) =>
    eventually(async () => {
      const { body } = await owner.get(`${TOKENS}/${id}/usage`)
      expect(body.routes).to.have.lengthOf(1)
      const [{ method, route } = { method: '', route: '' }] = body.routes
      return `${method} ${route}`
    })
  const routeAfter = async (path: string, headers: Record<string, string> = {}) => {
    const fresh = await createToken(owner)
    expect((await callerOf(service.url, tokenHeader(fresh.token)).get(path, headers)).status).to.equal(200)
    return routeOf(fresh.id)
  }

  it('answers any method, on the path and below it, with the principal in headers and body', async () => {
    for (const method of METHODS) {
      for (const path of [VERIFY, `${VERIFY}/orders/17`]) {
        const { status, headers, body } = await asToken.send(method, path)
        expect(status, method).to.equal(200)
        expect(headers.get('x-account-id')).to.equal('acct_1')
        expect(headers.get('x-auth-kind')).to.equal('token')
        expect(headers.get('x-token-id')).to.equal(token.id)
        expect(headers.get('x-token-scopes')).to.equal('orders:read orders:write')
        if (method === 'HEAD') continue
        expect(body).to.deep.equal({
          kind: 'token',
          account_id: 'acct_1',
          token_id: token.id,
          scopes: ['orders:read', 'orders:write'],
        })
      }
    }
  })

  it('answers methods that few have heard of', async () => {
    for (const method of ['TRACE', 'PROPFIND', 'PURGE', 'REPORT']) {
      for (const path of [VERIFY, `${VERIFY}/x`]) {
        const head = `${method} ${path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-API-Token: ${token.token}\r\n\r\n`
        const [answer] = answersIn(await exchange(service.url, head))
        expect(answer?.status, `${method} ${path}`).to.equal(200)
      }
    }
  })

  it('says of a JWT its account and its scopes, and no token', async () => {
    const { headers, body } = await owner.get(VERIFY)
    expect(headers.get('x-auth-kind')).to.equal('jwt')
    expect(headers.has('x-token-id')).to.be.false
    expect(headers.get('x-token-scopes')).to.equal('orders:read admin')
    expect(body).to.deep.equal({
      kind: 'jwt',
      account_id: 'acct_1',
      token_id: null,
      scopes: ['orders:read', 'admin'],
    })
  })

  it('requires the scopes that are asked for, each of them, on any method', async () => {
    for (const method of METHODS) {
      expect((await asToken.send(method, `${VERIFY}?scope=orders:read`)).status).to.equal(200)
      const { status, headers } = await asToken.send(method, `${VERIFY}?scope=admin`)
      expect(status, method).to.equal(403)
      expect(headers.get('www-authenticate')).to.equal(
        'Bearer realm="tokenledger", error="insufficient_scope", scope="admin"',
      )
      expect(headers.has('x-account-id'), 'nothing is said of a principal that is refused').to.be.false
    }
    expect((await asToken.get(`${VERIFY}?scope=orders:read&scope=orders:write`)).status).to.equal(200)
    for (const query of [
      'scope=orders:read&scope=admin',
      'scope=',
      'scope=orders',
      'scope=orders:read%20admin',
    ]) {
      const { status, body } = await asToken.get(`${VERIFY}?${query}`)
      expect(status, query).to.equal(403)
      expect(body.code).to.equal('insufficient_scope')
    }
    expect((await callerOf(service.url).get(`${VERIFY}?scope=admin`)).status).to.equal(401)
  })

  it('names the scopes that are missing, and repeats nothing that is none', async () => {
    const challenge = 'Bearer realm="tokenledger", error="insufficient_scope"'
    for (const [query, missing] of [
      ['scope=orders:read&scope=admin&scope=users:read&scope=admin', 'admin users:read'],
      ['scope=%22,%20x=%22y', ''],
      ['scope=a%0d%0aX-Evil:%201&scope=admin', 'admin'],
      [`scope=${token.token}`, ''],
      [`scope=${encodeURIComponent('ü')}`, ''],
    ] as const) {
      const { headers, body } = await asToken.get(`${VERIFY}?${query}`)
      expect(headers.get('www-authenticate'), query).to.equal(
        missing === '' ? challenge : `${challenge}, scope="${missing}"`,
      )
      expect(body.detail).to.equal(
        missing === ''
          ? 'The credential lacks a scope that this needs.'
          : `The credential lacks: ${missing}.`,
      )
    }
  })

  it('ignores bodies of any kind, and other parameters', async () => {
    for (const body of ['{"broken', 'x'.repeat(100_000), JSON.stringify({ scope: 'admin' })]) {
      const { status } = await asToken.send('POST', VERIFY, {
        body,
        headers: { 'Content-Type': 'application/json' },
      })
      expect(status).to.equal(200)
    }
    expect((await asToken.get(`${VERIFY}?limit=0&Scope=admin&scopes=admin&token=x`)).status).to.equal(200)
  })

  it('names in usage the route that nginx asks about, without its query string', async () => {
    expect(
      await routeAfter(VERIFY, {
        'X-Original-Method': 'DELETE',
        'X-Original-URI': '/orders/17?card=4111#top',
      }),
    ).to.equal('DELETE /orders/17')
  })

  it('names the route that Traefik asks about', async () => {
    expect(await routeAfter(VERIFY, { 'X-Forwarded-Method': 'PUT', 'X-Forwarded-Uri': '/a/b?c=d' })).to.equal(
      'PUT /a/b',
    )
  })

  it('prefers what nginx says where both speak', async () => {
    const both = {
      'X-Original-Method': 'DELETE',
      'X-Original-URI': '/nginx',
      'X-Forwarded-Method': 'PUT',
      'X-Forwarded-Uri': '/traefik',
    }
    expect(await routeAfter(VERIFY, both)).to.equal('DELETE /nginx')
  })

  it('names its own method and path where nobody says another', async () => {
    expect(await routeAfter(VERIFY)).to.equal('GET /auth/verify')
    expect(
      await routeAfter(VERIFY, { 'X-Original-URI': 'http://elsewhere/x', 'X-Original-Method': 'get it' }),
    ).to.equal('GET /auth/verify')
  })

  it('keeps a route to visible characters and a bounded length', async () => {
    const route = await routeAfter(VERIFY, { 'X-Original-URI': `/${'x'.repeat(500)}` })
    expect(route).to.equal(`GET /${'x'.repeat(255)}`)
    expect(await routeAfter(VERIFY, { 'X-Original-URI': '/a b\u00ff\tc' })).to.equal('GET /a?b??c')
  })

  it('takes what follows its path for the route, and the query string for the route’s own', async () => {
    expect(await routeAfter(`${VERIFY}/orders/17?scope=admin&x=1`)).to.equal('GET /orders/17')
    expect(await routeAfter(`${VERIFY}/?scope=admin`)).to.equal('GET /')
    expect(await routeAfter(`${VERIFY}/a%2Fb/%E0%A4%A/..;/x`)).to.equal('GET /a%2Fb/%E0%A4%A/..;/x')
    expect(await routeAfter(`${VERIFY}/own`, { 'X-Original-URI': '/said' })).to.equal('GET /said')
  })

  it('answers below its path as on it', async () => {
    const nobody = callerOf(service.url)
    expect((await nobody.get(`${VERIFY}/x`)).status).to.equal(401)
    expect((await nobody.get(`${VERIFY}/x`, tokenHeader('bad'))).headers.get('www-authenticate')).to.include(
      'invalid_token',
    )
    expect((await nobody.get(`${VERIFY}y`)).status, 'not below it').to.equal(404)
  })
})
