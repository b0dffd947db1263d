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
import { startHost } from '../support/processes/hostApp.ts'
import { answersIn, exchange } from '../support/callers/raw.ts'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
const VERIFY = '/auth/verify'

/** The lines of an answer, with the headers in order and without what is another one each time. */
function comparable(answer: string): string[] {
  const [head = '', body = ''] = answer.replaceAll(UUID, '<id>').split('\r\n\r\n')
  const [status = '', ...headers] = head.split('\r\n')
  const sorted = headers.map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase())).sort()
  return [status, ...sorted.filter((line) => !line.startsWith('date:')), body]
}

const UUID = /[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g

describe('/auth/verify', () => {
  let service: TestService
  /** The same service behind a proxy of the other family, and behind none. */
  let forwarding: TestService
  let alone: TestService
  let owner: Api
  let token: Body
  let asToken: Api

  before(async () => {
    service = await startLedger({ maxTokensPerAccount: 1000, verifyRequestHeaders: 'x-original' })
    forwarding = await startLedger({ verifyRequestHeaders: 'x-forwarded' })
    alone = await startLedger()
    owner = callerOf(service.url, bearer(jwtFor('acct_1', { scope: 'orders:read admin NOT-A-SCOPE' })))
  })
  after(() => Promise.all([service, forwarding, alone].map((each) => each.close())))
  beforeEach(async () => {
    const admin = callerOf(service.url, bearer(jwtFor('acct_1')))
    token = await createToken(admin, { scopes: ['orders:read', 'orders:write'] })
    asToken = callerOf(service.url, tokenHeader(token.token))
  })

  /** The only route that the token was used on. */
  const routeOf = (api: Api, id: string) =>
    eventually(async () => {
      const { body } = await api.get(`${TOKENS}/${id}/usage`)
      expect(body.routes).to.have.lengthOf(1)
      const [{ method, route } = { method: '', route: '' }] = body.routes
      return `${method} ${route}`
    })
  const routeAfter = async (path: string, headers: Record<string, string> = {}, at = service) => {
    const api = callerOf(at.url, bearer(jwtFor('acct_1')))
    const fresh = await createToken(api)
    expect((await callerOf(at.url, tokenHeader(fresh.token)).get(path, headers)).status).to.equal(200)
    return routeOf(api, fresh.id)
  }

  it('answers in the service as in the app of a host, and closes the connection when it stops', async () => {
    const own = await startLedger()
    const host = await startHost((app, ledger) => app.use(ledger.observe()).use(ledger.verifyRoutes()))
    const seen = async ({ url, ledger }: Pick<TestService, 'url' | 'ledger'>) => {
      const { token: secret } = await ledger.tokens.create('acct_é', { name: 'a' }, { actor: 'test' })
      const ask = (head: string) =>
        exchange(url, `${head}\r\nHost: test\r\nX-API-Token: ${secret}\r\nX-Request-Id: abc\r\n\r\n`)
      const answers = await Promise.all(
        METHODS.map((method) => ask(`${method} ${VERIFY} HTTP/1.1\r\nConnection: close`)),
      )
      void ledger.drain()
      const answer = await ask(`GET ${VERIFY} HTTP/1.1`)
      return [...answers, answer].map(comparable)
    }
    try {
      const answers = await seen(own)
      expect(answers).to.deep.equal(await seen(host))
      expect(answers.at(-1)).to.include('connection: close').and.to.include('x-request-id: abc')
    } finally {
      await Promise.all([own.close(), host.close()])
    }
  })

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
    expect(headers.get('x-token-id'), 'empty, so that a proxy copies it over its caller’s').to.equal('')
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
    for (const query of ['scope=orders:read&scope=admin', 'scope=orders', 'scope=orders:read%20admin']) {
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

  it('says of a credential without scopes that it has none', async () => {
    const bare = await createToken(owner)
    for (const headers of [tokenHeader(bare.token), bearer(jwtFor('acct_1'))]) {
      for (const path of [VERIFY, `${VERIFY}/x`]) {
        const answer = await callerOf(service.url, headers).get(path)
        expect(answer.headers.get('x-token-scopes')).to.equal('')
      }
    }
  })

  it('refuses every other parameter, and a scope that is empty: a misspelt one must not open the door', async () => {
    for (const [query, pointer] of [
      ['scopes=admin', '?scopes'],
      ['Scope=admin', '?Scope'],
      ['SCOPE=admin', '?SCOPE'],
      ['scope[]=admin', '?scope[]'],
      ['scope%5B0%5D=admin', '?scope[0]'],
      ['%20scope=admin', '? scope'],
      ['scope.=admin', '?scope.'],
      ['scope=orders:read&x=1', '?x'],
      ['x', '?x'],
      ['=admin', '?'],
      ['orders:read', '?orders:read'],
      ['__proto__=admin', '?__proto__'],
      ['token=x', '?token'],
      ['limit=0', '?limit'],
      ['scope=', '?scope'],
      ['scope', '?scope'],
      ['scope=orders:read&scope=', '?scope'],
    ] as const) {
      for (const method of METHODS.filter((one) => one !== 'HEAD')) {
        const { status, body, headers } = await asToken.send(method, `${VERIFY}?${query}`)
        expect(status, `${method} ?${query}`).to.equal(422)
        expect(body.errors.map((error) => error.pointer)).to.deep.equal([pointer])
        expect(headers.has('x-account-id')).to.be.false
      }
    }
    expect((await asToken.get(`${VERIFY}?`)).status).to.equal(200)
    expect((await asToken.get(`${VERIFY}?&&`)).status).to.equal(200)
  })

  it('ignores bodies of any kind', async () => {
    for (const body of ['{"broken', 'x'.repeat(100_000), JSON.stringify({ scope: 'admin' })]) {
      const { status } = await asToken.send('POST', VERIFY, {
        body,
        headers: { 'Content-Type': 'application/json' },
      })
      expect(status).to.equal(200)
    }
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
    const headers = { 'X-Forwarded-Method': 'PUT', 'X-Forwarded-Uri': '/a/b?c=d' }
    expect(await routeAfter(VERIFY, headers, forwarding)).to.equal('PUT /a/b')
  })

  it('believes the one family that it is told to, never the other: that one comes from the caller', async () => {
    const nginx = { 'X-Original-Method': 'DELETE', 'X-Original-URI': '/nginx' }
    const traefik = { 'X-Forwarded-Method': 'PUT', 'X-Forwarded-Uri': '/traefik' }
    const others = {
      'X-Original-URL': '/others',
      'X-Rewrite-URL': '/others',
      'X-Forwarded-Path': '/others',
      'X-HTTP-Method-Override': 'PATCH',
    }
    for (const [at, headers, expected] of [
      [service, { ...others, ...nginx, ...traefik }, 'DELETE /nginx'],
      [service, { ...others, ...traefik }, 'GET /auth/verify'],
      [service, { ...traefik, 'X-Original-URI': '/nginx' }, 'GET /nginx'],
      [service, { ...traefik, 'X-Original-Method': 'DELETE' }, 'DELETE /auth/verify'],
      [forwarding, { ...others, ...nginx, ...traefik }, 'PUT /traefik'],
      [forwarding, { ...others, ...nginx }, 'GET /auth/verify'],
      [forwarding, { ...nginx, 'X-Forwarded-Uri': '/traefik' }, 'GET /traefik'],
      [forwarding, { ...nginx, 'X-Forwarded-Method': 'PUT' }, 'PUT /auth/verify'],
      [alone, { ...others, ...nginx, ...traefik }, 'GET /auth/verify'],
    ] as const) {
      expect(await routeAfter(VERIFY, headers, at), JSON.stringify(headers)).to.equal(expected)
    }
    expect(await routeAfter(`${VERIFY}/own`, { ...nginx, ...traefik }, alone)).to.equal('GET /own')
    expect(await routeAfter(`${VERIFY}/own`, nginx, forwarding)).to.equal('GET /own')
  })

  it('believes no header that comes twice: one of the two is the caller’s', async () => {
    for (const fields of [
      ['X-Original-URI: /said', 'X-Original-URI: /said'],
      ['X-Original-URI: /forged', 'x-original-uri: /said'],
      ['X-Original-Method: PUT', 'X-Original-Method: PUT'],
    ]) {
      const fresh = await createToken(owner)
      const head = `GET ${VERIFY} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-API-Token: ${fresh.token}\r\n`
      const [answer] = answersIn(await exchange(service.url, `${head}${fields.join('\r\n')}\r\n\r\n`))
      expect(answer?.status).to.equal(200)
      expect(await routeOf(owner, fresh.id), fields.join()).to.equal('GET /auth/verify')
    }
  })

  it('counts a use that it lets through as accepted: what became of it is the upstream’s to know', async () => {
    for (const path of [VERIFY, `${VERIFY}/orders`]) {
      const fresh = await createToken(owner)
      const asFresh = callerOf(service.url, tokenHeader(fresh.token))
      for (const method of METHODS) await asFresh.send(method, path)
      // If a request is not let through, its use is counted with the status of the answer.
      await asFresh.get(`${VERIFY}?scope=admin`)
      await asFresh.get(`${VERIFY}?scopes=admin`)
      await eventually(async () => {
        const { body } = await owner.get(`${TOKENS}/${fresh.id}/usage`)
        expect(body.total).to.deep.equal({ requests: 9, outcomes: { accepted: 7, '4xx': 2 } })
      })
    }
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
