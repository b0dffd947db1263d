import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import Koa from 'koa'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { startHost } from '../support/processes/hostApp.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const APP = 'https://app.example.com'
const LOCAL = 'http://localhost:5173'
const PREFLIGHT = { 'Access-Control-Request-Method': 'PATCH', 'Access-Control-Request-Headers': 'if-match' }

describe('CORS', () => {
  let service: TestService
  let jwt: Record<string, string>
  before(async () => {
    service = await startLedger({ corsOrigins: `${APP} ${LOCAL}` })
    jwt = bearer(jwtFor('acct_1'))
  })
  after(() => service.close())

  const send = (method: string, path: string, headers: Record<string, string>, url = service.url) =>
    fetch(url + path, { method, headers })
  const corsHeaders = ({ headers }: Response) =>
    [...headers.keys()].filter((name) => name.startsWith('access-control-'))
  /** Fetch would not send this field by itself. */
  const from = (origin: string) => ({ Origin: origin })

  for (const path of ['', '/self', '/usage', '/01890000-0000-7000-8000-000000000000', '/x/events']) {
    it(`answers a preflight of a listed origin for ${TOKENS}${path}, without any credential`, async () => {
      for (const origin of [APP, LOCAL]) {
        const answer = await send('OPTIONS', TOKENS + path, { ...from(origin), ...PREFLIGHT })
        expect(answer.status).to.equal(204)
        expect(answer.headers.get('access-control-allow-origin')).to.equal(origin)
        expect(answer.headers.get('access-control-allow-methods')?.split(', ')).to.include.members([
          'GET',
          'POST',
          'PATCH',
          'DELETE',
        ])
        expect(answer.headers.get('access-control-allow-headers')?.toLowerCase().split(', ')).to.have.members(
          [
            'authorization',
            'content-type',
            'idempotency-key',
            'if-match',
            'last-event-id',
            'x-api-token',
            'x-correlation-id',
            'x-request-id',
          ],
        )
        expect(answer.headers.get('vary')).to.equal('Origin')
        expect(answer.headers.has('access-control-allow-credentials')).to.be.false
        expect(await answer.text()).to.equal('')
      }
    })
  }

  it('lets a page of a listed origin read the answer, errors too, and the headers that it needs', async () => {
    const { id, token } = await createToken(callerOf(service.url, jwt))
    for (const [method, path, headers, status] of [
      ['GET', TOKENS, jwt, 200],
      ['GET', `${TOKENS}/${id}`, tokenHeader(token), 200],
      ['HEAD', `${TOKENS}/${id}`, jwt, 200],
      ['GET', TOKENS, {}, 401],
      ['GET', `${TOKENS}?limit=0`, jwt, 422],
      ['GET', `${TOKENS}/none`, jwt, 404],
      ['PUT', TOKENS, jwt, 405],
      ['POST', TOKENS, { ...jwt, Authorization: 'Bearer bad' }, 401],
    ] as const) {
      const answer = await send(method, path, { ...headers, ...from(APP) })
      expect(answer.status, `${method} ${path}`).to.equal(status)
      expect(answer.headers.get('access-control-allow-origin')).to.equal(APP)
      expect(answer.headers.get('access-control-expose-headers')).to.equal('ETag, Location, Token-Expires-At')
      expect(answer.headers.get('vary')).to.equal('Origin')
      expect(answer.headers.has('access-control-allow-credentials')).to.be.false
    }
  })

  it('says nothing to any other origin, and serves whoever needs no permission', async () => {
    for (const origin of [
      'https://evil.example',
      `${APP}.evil.example`,
      `${APP}:443`,
      `${APP}:8443`,
      `${APP}/`,
      'http://app.example.com',
      'https://APP.example.com',
      'https://sub.app.example.com',
      'http://localhost',
      'null',
      '*',
      `${APP} ${LOCAL}`,
      `${APP}, ${LOCAL}`,
    ]) {
      const preflight = await send('OPTIONS', TOKENS, { ...from(origin), ...PREFLIGHT })
      expect(preflight.status, origin).to.equal(405)
      const answer = await send('GET', TOKENS, { ...jwt, ...from(origin) })
      expect(answer.status, origin).to.equal(200)
      for (const each of [preflight, answer]) {
        expect(corsHeaders(each), origin).to.deep.equal([])
        expect(each.headers.get('vary'), origin).to.equal('Origin')
      }
    }
    const sameOrigin = await send('GET', TOKENS, jwt)
    expect(corsHeaders(sameOrigin)).to.deep.equal([])
    expect(sameOrigin.headers.get('vary'), 'a cache would hand it to others').to.equal('Origin')
  })

  it('takes OPTIONS that asks for no method for what it is', async () => {
    const answer = await send('OPTIONS', TOKENS, from(APP))
    expect(answer.status).to.equal(405)
    expect(answer.headers.get('allow')).to.equal('HEAD, GET, POST')
  })

  it('is of the management routes alone', async () => {
    for (const path of [
      '/auth/verify',
      '/auth/verify/x',
      '/health/live',
      '/metrics',
      '/docs',
      `${TOKENS}x`,
      '/',
    ]) {
      for (const method of ['OPTIONS', 'GET']) {
        const answer = await send(method, path, { ...jwt, ...from(APP), ...PREFLIGHT })
        expect(corsHeaders(answer), `${method} ${path}`).to.deep.equal([])
        expect(answer.headers.has('vary'), `${method} ${path}`).to.be.false
      }
    }
  })

  it('is off unless origins are named', async () => {
    const off = await startLedger()
    try {
      for (const method of ['OPTIONS', 'GET']) {
        const answer = await send(method, TOKENS, { ...jwt, ...from(APP), ...PREFLIGHT }, off.url)
        expect(answer.status).to.equal(method === 'GET' ? 200 : 405)
        expect(corsHeaders(answer)).to.deep.equal([])
        expect(answer.headers.has('vary')).to.be.false
      }
    } finally {
      await off.close()
    }
  })

  it('is there under whatever prefix the routes are mounted, and is not where they are not', async () => {
    const moved = await startHost(
      (app, ledger) =>
        app
          .use(ledger.authenticate({ optional: true }))
          .use(ledger.routes({ prefix: '/account/tokens' }))
          .use(ledger.routes({ prefix: '/team/tokens' })),
      { corsOrigins: APP },
    )
    for (const path of ['/account/tokens', '/account/tokens/self', '/team/tokens/usage']) {
      const preflight = await send('OPTIONS', path, { ...from(APP), ...PREFLIGHT }, moved.url)
      expect(preflight.status, path).to.equal(204)
      expect(preflight.headers.get('access-control-allow-origin'), path).to.equal(APP)
      const answer = await send('GET', path, from(APP), moved.url)
      expect(answer.status, path).to.equal(401)
      expect(answer.headers.get('access-control-allow-origin'), path).to.equal(APP)
    }
    for (const path of [TOKENS, '/account/tokensx', '/account']) {
      const answer = await send('OPTIONS', path, { ...from(APP), ...PREFLIGHT }, moved.url)
      expect(corsHeaders(answer), path).to.deep.equal([])
    }
    await moved.close()
  })

  it('comes before authenticate() in a host app that asks for credentials first', async () => {
    const app = new Koa()
    app.use(service.ledger.authenticate())
    app.use(service.ledger.routes())
    app.use((ctx) => {
      ctx.body = 'the host'
    })
    const handle = app.callback()
    const server = createServer((request, response) => void handle(request, response)).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    try {
      const preflight = await send('OPTIONS', TOKENS, { ...from(APP), ...PREFLIGHT }, url)
      expect(preflight.status).to.equal(204)
      const refused = await send('GET', TOKENS, from(APP), url)
      expect(refused.status).to.equal(401)
      expect(refused.headers.get('access-control-allow-origin')).to.equal(APP)
      const elsewhere = await send('OPTIONS', '/orders', { ...from(APP), ...PREFLIGHT }, url)
      expect(elsewhere.status).to.equal(401)
      expect(corsHeaders(elsewhere)).to.deep.equal([])
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })
})
