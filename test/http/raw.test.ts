import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import Koa from 'koa'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { jwtFor, machinesIn, SAMPLE_KEY, startLedger, type TestService } from '../support/processes/ledger.ts'
import type { TokenLedger } from '../../src/index.ts'
import { answersIn, exchange, type RawAnswer } from '../support/callers/raw.ts'
import { startHost } from '../support/processes/hostApp.ts'
import { eventually } from '../support/suite/eventually.ts'

const HOST = 'Host: test\r\nConnection: close\r\n'
const JWT = `Authorization: Bearer ${jwtFor('acct_1')}\r\n`
const JSON_TYPE = 'Content-Type: application/json\r\n'
const get = (target: string, more = '') => `GET ${target} HTTP/1.1\r\n${HOST}${more}\r\n`

describe('Half a body', () => {
  it('is 400 on every route that reads one, and no error of ours', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
    const { basic, ...machines } = machinesIn(folder)
    const logged: string[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (_: object, what: string) => logged.push(what) }
    const service = await startLedger({ ...machines, log })
    const form = `Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Basic ${basic}\r\n`
    const operator = jwtFor('ann', { scope: 'tokenledger:operator' })
    const heads: Record<string, string> = {
      [TOKENS]: JWT + JSON_TYPE,
      '/admin/revocations': `Authorization: Bearer ${operator}\r\n${JSON_TYPE}`,
      '/settings/portal-sessions': JWT + JSON_TYPE,
      '/oauth/introspect': form,
      '/oauth/revoke': form,
      '/leaks/github': `Github-Public-Key-Identifier: ${SAMPLE_KEY.key_identifier}\r\nGithub-Public-Key-Signature: AAAA\r\n`,
    }
    for (const [path, head] of Object.entries(heads)) {
      const request = `POST ${path} HTTP/1.1\r\n${HOST}${head}Content-Length: 20\r\n\r\n{}`
      const answers = answersIn(await exchange(service.url, request, true))
      expect([path, answers.map(({ status }) => status)]).to.deep.equal([path, [400]])
    }
    expect(logged).to.deep.equal([])
    await service.close()
    rmSync(folder, { recursive: true })
  })
})

describe('A body of which nothing comes', () => {
  it('is waited for no longer than its caller is there', async () => {
    const seen: string[] = []
    const host = await startHost((app, ledger) =>
      app
        .use(async (_, next) => {
          seen.push('begun')
          await next()
          seen.push('ended')
        })
        .use(ledger.routes()),
    )
    const { hostname, port } = new URL(host.url)
    const socket = connect({ host: hostname, port: Number(port) })
    socket.write(`POST ${TOKENS} HTTP/1.1\r\nHost: a\r\n${JWT}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n`)
    await eventually(async () => expect(seen).to.deep.equal(['begun']))
    socket.destroy()
    await eventually(async () => expect(seen).to.deep.equal(['begun', 'ended']))
    await host.close()
    expect(host.lines.filter(({ level }) => level === 'error')).to.deep.equal([])
  })
})

describe('Whatever comes over the wire', () => {
  const errors: string[] = []
  let service: TestService
  before(async () => {
    const log = {
      debug() {},
      info() {},
      warn() {},
      error: (_: object, message: string) => errors.push(message),
    }
    service = await startLedger({ log })
  })
  after(() => service.close())
  afterEach(() => {
    expect(errors.splice(0), 'nothing went wrong inside').to.deep.equal([])
  })

  /** Sends bytes. If there are answers, their status is below 500, and errors are problem documents. */
  async function send(request: string, isCutOff = false): Promise<RawAnswer[]> {
    const answers = answersIn(await exchange(service.url, request, isCutOff))
    for (const { status, headers, text } of answers) {
      const what = request.slice(0, 80)
      expect(status, what).to.be.below(500)
      if (status < 400) continue
      expect(headers.get('content-type'), what).to.match(/^application\/problem\+json/)
      expect(headers.get('cache-control'), what).to.equal('no-store')
      const problem = JSON.parse(text)
      expect(problem, what).to.include({ status, type: `urn:tokenledger:problem:${problem.code}` })
    }
    return answers
  }
  async function assertStatus(expected: number, requests: Record<string, string>): Promise<void> {
    for (const [what, request] of Object.entries(requests)) {
      const answers = await send(request, what === 'cutOff')
      expect(
        answers.map(({ status }) => status),
        what,
      ).to.deep.equal([expected])
    }
  }
  const post = (more: string, body: string) =>
    `POST ${TOKENS} HTTP/1.1\r\n${HOST}${JWT}${JSON_TYPE}${more}\r\n${body}`

  const withHosts = (...hosts: string[]) =>
    `GET /health/live HTTP/1.1\r\nConnection: close\r\n${hosts.map((host) => `${host}\r\n`).join('')}\r\n`

  /** Koa reads these, the URL standard does not; `*` is for OPTIONS. */
  const NO_URLS = [
    ...['http://x:99999', 'http://x:65536', 'http://[zz]', 'http://1.2.3.999', 'http://0x1ffffffff'].flatMap(
      (origin) =>
        ['/auth/verify', TOKENS, `${TOKENS}/self`, '/admin/api-tokens', '/nowhere'].map((at) => origin + at),
    ),
    'http://[',
    'x:',
  ]

  it('may be a target that is no URL: it is refused, and nothing comes of it', async () => {
    const owner = callerOf(service.url, bearer(jwtFor('acct_targets')))
    const { token } = await createToken(owner)
    for (const target of NO_URLS) {
      for (const credential of [
        '',
        `X-API-Token: ${token}\r\n`,
        `Authorization: Bearer ${jwtFor('acct_targets')}\r\n`,
      ]) {
        const [answer] = await send(get(`${target}?x=${token}`, credential))
        expect(answer?.status, `${target} ${credential.slice(0, 9)}`).to.equal(400)
      }
      const body = '{"name":"lost"}'
      const [made] = await send(
        `POST ${target} HTTP/1.1\r\n${HOST}${JSON_TYPE}Authorization: Bearer ${jwtFor('acct_targets')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
      expect(made?.status, target).to.equal(400)
    }
    const [options] = await send(`OPTIONS * HTTP/1.1\r\n${HOST}X-API-Token: ${token}\r\n\r\n`)
    expect(options?.status).to.be.below(500)
    expect((await owner.get(TOKENS)).body.data).to.have.length(1)
  })

  it('may be for another host: hosts are the proxy’s business', async () => {
    await assertStatus(200, {
      other: withHosts('Host: evil.example'),
      port: withHosts('host: evil.example:99999'),
      noPort: withHosts('Host: evil.example:'),
      v4: withHosts('Host: 192.0.2.1:80'),
      v6: withHosts('Host: [2001:db8::7]:80'),
      escaped: withHosts('Host: a%20b'),
      name: withHosts('HOST: a_b-c.~d.'),
      absolute: get('http://evil.example/health/live'),
      http10: 'GET /health/live HTTP/1.0\r\n\r\n',
      http10named: 'GET /health/live HTTP/1.0\r\nHost: a\r\n\r\n',
    })
  })

  it('that names no host, more than one, or what is none, is 400', async () => {
    const many = 'A: b\r\n'.repeat(2_500)
    await assertStatus(400, {
      none: withHosts(),
      two: withHosts('Host: a', 'Host: b'),
      same: withHosts('Host: a', 'host: a'),
      first: withHosts('Host: a', 'HOST:'),
      three: withHosts('Host: a', 'Host: a', 'Host: a'),
      apart: withHosts('Host: a', 'X-Between: x', 'Host: a'),
      behindMany: withHosts('Host: a', many.trimEnd(), 'Host: b'),
      http10two: 'GET /health/live HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n',
      http10empty: 'GET /health/live HTTP/1.0\r\nHost:\r\n\r\n',
      empty: withHosts('Host:'),
      onlyPort: withHosts('Host: :80'),
      broken: withHosts('Host: [::'),
      closed: withHosts('Host: ::]'),
      bare: withHosts('Host: 2001:db8::7'),
      port: withHosts('Host: a:b'),
      ports: withHosts('Host: a:1:2'),
      list: withHosts('Host: a, b'),
      space: withHosts('Host: a b'),
      path: withHosts('Host: a/b'),
      query: withHosts('Host: a?b'),
      fragment: withHosts('Host: a#b'),
      user: withHosts('Host: u@a'),
      backslash: withHosts('Host: a\\b'),
      percent: withHosts('Host: a%zz'),
      quotes: withHosts('Host: "a"'),
      bytes: withHosts('Host: \xff\xfe'),
    })
  })

  it('with a second credential is 400, however many fields are between the two', async () => {
    for (const amount of [0, 100, 2_000, 10_000]) {
      const many = 'A:\r\n'.repeat(amount)
      await assertStatus(400, {
        authorization: get('/auth/verify', JWT + many + JWT),
        token: get('/auth/verify', `X-API-Token: a\r\n${many}X-API-Token: b\r\n`),
      })
    }
    // A request with more than fits is refused, and never read in part.
    const most = 'A:\r\n'.repeat(20_000)
    await assertStatus(431, { authorization: get('/auth/verify', JWT + most + JWT) })
  })

  it('as a target that is no URL is 400', async () => {
    await assertStatus(400, {
      bracket: get('http://['),
      address: get(`http://[::1${TOKENS}`, JWT),
      verify: get('http://[/auth/verify', JWT),
      authority: get('example.com:80'),
      query: get('?x'),
      none: get('http://'),
      port: get('http://a:99999999/'),
      space: get('/a b'),
      tab: get('/a\tb'),
      nul: get('/a\0b'),
      bytes: get('/\xff\xfe'),
    })
  })

  it('as a target that is nowhere is 404', async () => {
    await assertStatus(404, {
      star: get('*'),
      options: `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`,
      slashes: get('//evil.example/health/live'),
      dots: get('/health/../health/live'),
      encodedDots: get('/health/%2e%2e/metrics'),
      backslash: get('/\\evil\\..'),
      percent: get('/%E0%A4%A'),
      nul: get('/health/live%00'),
      scheme: get('foo://%%%/x'),
    })
  })

  it('with a percent sign out of place is read as far as it goes', async () => {
    await assertStatus(404, { id: get(`${TOKENS}/%E0%A4%A`, JWT), events: get(`${TOKENS}/%/events`, JWT) })
    await assertStatus(200, {
      query: get(`${TOKENS}?q=%E0%A4%A`, JWT),
      verify: get('/auth/verify/%E0%A4%A?%%%=1', JWT),
    })
    await assertStatus(422, {
      name: get(`${TOKENS}?%E0%A4%A=1`, JWT),
      status: get(`${TOKENS}?status=%ff`, JWT),
      scope: get('/auth/verify?x=%ZZ', JWT),
    })
  })

  it('with a credential twice is 400, twice anything else is not', async () => {
    await assertStatus(400, {
      authorization: get(TOKENS, JWT + JWT),
      token: get(TOKENS, 'X-API-Token: a\r\nx-api-token: a\r\n'),
      empty: get(TOKENS, 'X-API-Token:\r\nX-API-Token:\r\n'),
    })
    await assertStatus(200, {
      requestId: get('/health/live', 'X-Request-Id: a\r\nX-Request-Id: b\r\n'),
      original: get('/auth/verify', `${JWT}X-Original-URI: /a\r\nX-Original-URI: /b\r\n`),
      agent: get(TOKENS, `${JWT}User-Agent: a\r\nUser-Agent: b\r\n`),
      many: get('/health/live', 'A: b\r\n'.repeat(400)),
    })
  })

  it('with more headers than fit is 431', async () => {
    await assertStatus(431, {
      header: get('/health/live', `X-Big: ${'x'.repeat(20_000)}\r\n`),
      token: get('/auth/verify', `X-API-Token: ${'x'.repeat(20_000)}\r\n`),
      jwt: get('/auth/verify', `Authorization: Bearer ${'x.'.repeat(10_000)}\r\n`),
      target: get(`/${'x'.repeat(20_000)}`),
    })
  })

  it('with a credential as long as fits, or of odd bytes, is 401', async () => {
    await assertStatus(401, {
      long: get('/auth/verify', `X-API-Token: tkl_${'x'.repeat(15_000)}\r\n`),
      longJwt: get('/auth/verify', `Authorization: Bearer ${'e30.'.repeat(3_500)}\r\n`),
      bytes: get('/auth/verify', 'X-API-Token: \xff\xfe\xfd\r\n'),
      bearer: get('/auth/verify', 'Authorization: Bearer \xff\xfe\r\n'),
      quotes: get('/auth/verify', `X-API-Token: "'\\;--\r\n`),
      tab: get('/auth/verify', 'X-API-Token: a\tb\r\n'),
    })
  })

  it('that is no HTTP is 400', async () => {
    await assertStatus(400, {
      tls: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      http2: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      version: `GET /health/live HTTP/9.9\r\n${HOST}\r\n`,
      method: `NONSENSE /health/live HTTP/1.1\r\n${HOST}\r\n`,
      spaceInName: get('/health/live', 'X API: x\r\n'),
      spaceAfterName: get('/health/live', 'X-API-Token : x\r\n'),
      nul: get('/auth/verify', 'X-API-Token: a\0b\r\n'),
      folded: get('/health/live', 'X-A: x\r\n folded\r\n'),
      cutOff: 'GET /health/live HTTP/1.1\r\nHos',
    })
  })

  it('with lengths that contradict each other is 400', async () => {
    await assertStatus(400, {
      both: post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
      twice: post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}'),
      negative: post('Content-Length: -2\r\n', '{}'),
      encoding: post('Transfer-Encoding: gzip\r\n', '{}'),
      chunk: post('Transfer-Encoding: chunked\r\n', 'ZZ\r\n{}'),
      cutOff: post('Content-Length: 20\r\n', '{}'),
    })
  })

  it('that expects something we have not heard of is served all the same', async () => {
    await assertStatus(422, {
      unknown: post('Expect: something\r\nContent-Length: 2\r\n', '{}'),
      continue: post('Expect: 100-continue\r\nContent-Length: 2\r\n', '{}'),
      upgrade: post('Upgrade: h2c\r\nContent-Length: 2\r\n', '{}'),
    })
  })

  it('that asks for a tunnel is closed', async () => {
    expect(await send(`CONNECT example.com:80 HTTP/1.1\r\n${HOST}\r\n`)).to.deep.equal([])
  })

  it('leaves nothing behind for the next request on the connection', async () => {
    const live = `GET /health/live HTTP/1.1\r\n${HOST}\r\n`
    const unread = `POST /nothing HTTP/1.1\r\nHost: t\r\nContent-Length: ${live.length}\r\n\r\n${live}`
    const refused = `POST ${TOKENS} HTTP/1.1\r\nHost: t\r\nContent-Length: ${live.length}\r\n\r\n${live}`
    const ignored = `DELETE ${TOKENS}/x HTTP/1.1\r\nHost: t\r\n${JWT}Content-Length: ${live.length}\r\n\r\n${live}`
    const answers = await send(unread + refused + ignored + live)
    expect(answers.map(({ status }) => status)).to.deep.equal([404, 401, 404, 200])
  })

  it('is answered to the end when a body is too large, and the connection ends', async () => {
    const [answer] = await send(post('Content-Length: 40000\r\n', 'x'.repeat(40_000)))
    expect(answer?.status).to.equal(413)
    expect(answer?.headers.get('connection')).to.equal('close')
  })
})

describe('A host app behind authenticate(), whatever comes over the wire', () => {
  it('gets 400 from whatever of the ledger it mounts, for a target that is no URL', async () => {
    const mounts: Record<string, (ledger: TokenLedger) => Koa.Middleware> = {
      routes: (ledger) => ledger.routes(),
      operatorRoutes: (ledger) => ledger.operatorRoutes(),
      page: (ledger) => ledger.page(),
      portalRoutes: (ledger) => ledger.portalRoutes(),
      verifyRoutes: (ledger) => ledger.verifyRoutes(),
      operationRoutes: (ledger) => ledger.operationRoutes(),
    }
    for (const [name, mount] of Object.entries(mounts)) {
      const host = await startHost((app, ledger) => app.use(mount(ledger)))
      const [answer] = answersIn(await exchange(host.url, get('http://[')))
      expect([name, answer?.status, host.errors]).to.deep.equal([name, 400, []])
      await host.close()
    }
  })

  it('is not brought down by a target that is no URL', async () => {
    const service = await startLedger()
    const { token } = await createToken(callerOf(service.url, bearer(jwtFor('acct_1'))))
    const app = new Koa()
    app.silent = true
    app.use(service.ledger.authenticate())
    app.use((ctx) => {
      ctx.body = `you are at ${ctx.path}`
    })
    const handle = app.callback()
    const server = createServer((request, response) => void handle(request, response)).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    try {
      for (const target of ['http://[', 'http://x:99999/here', 'http://[zz]/here']) {
        const request = `GET ${target} HTTP/1.1\r\n${HOST}X-API-Token: ${token}\r\n\r\n`
        const [answer] = answersIn(await exchange(url, request))
        expect(answer?.status, target).to.equal(400)
      }
      const options = `OPTIONS * HTTP/1.1\r\n${HOST}X-API-Token: ${token}\r\n\r\n`
      expect(answersIn(await exchange(url, options))[0]?.status).to.equal(200)
      const after = await fetch(`${url}/here`, { headers: tokenHeader(token) })
      expect(await after.text()).to.equal('you are at /here')
    } finally {
      server.close()
      server.closeAllConnections()
      await service.close()
    }
  })
})
