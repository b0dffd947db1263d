import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import mount from 'koa-mount'
import request from 'supertest'
import { PAGE_FILES } from '../../src/http/page/files.ts'
import { english } from '../../src/page/texts.ts'
import type { User } from '../../src/index.ts'
import { startHost, type HostApp } from '../support/processes/hostApp.ts'
import { codeOf } from '../support/callers/portal.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { projectRoot } from '../support/project/package.ts'

const FOLDER = join(projectRoot, 'dist/page')
/** Of all that the page loads, in kB as it is compressed. */
const LARGEST = 40

describe('The files of the page', () => {
  let service: TestService
  before(async () => {
    service = await startLedger()
  })
  after(() => service.close())

  it('are those that the build makes, each of them and no other', () => {
    const made = readdirSync(FOLDER).filter((name) => !name.endsWith('.txt'))
    expect(made).to.have.members([...PAGE_FILES])
  })

  it(`have at most ${LARGEST} kB in all`, function () {
    const bytes = PAGE_FILES.reduce((sum, name) => sum + gzipSync(readFileSync(join(FOLDER, name))).length, 0)
    if (this.test) this.test.title += ` (${(bytes / 1000).toFixed(1)} kB)`
    expect(bytes).to.be.lessThan(LARGEST * 1000)
  })

  it('show each text that a host may replace', () => {
    const code = PAGE_FILES.filter((name) => name.endsWith('.js') && name !== 'texts.js')
      .map((name) => readFileSync(join(FOLDER, name), 'utf8'))
      .join('')
    // Types of events are texts by their own names, and one of two forms is chosen by a number.
    const isShown = (name: string): boolean =>
      /^Token[A-Z]/.test(name) ||
      [name, name.replace(/(One|Other)$/, '')].some((one) => code.includes(`"${one}"`))
    expect(Object.keys(english).filter((name) => !isShown(name))).to.deep.equal([])
  })

  it('may be framed by nobody, and run no code but their own', async () => {
    for (const path of [
      '/tokens',
      '/tokens/',
      '/tokens/app.js',
      '/tokens/page.css',
      '/tokens/theme.css',
      '/tokens/config.json',
    ]) {
      const { status, headers } = await fetch(service.url + path)
      expect(status, path).to.equal(200)
      expect(headers.get('content-security-policy')).to.equal(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
          "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; " +
          'trusted-types lit-html',
      )
      expect(headers.get('x-frame-options')).to.equal('DENY')
      expect(headers.get('referrer-policy')).to.equal('no-referrer')
      expect(headers.get('x-content-type-options')).to.equal('nosniff')
      expect(headers.get('cross-origin-opener-policy')).to.equal('same-origin')
    }
  })

  it('come from a list: no path finds another', async () => {
    for (const path of [
      'lit.LICENSE.txt',
      '../page/app.js',
      '..%2fviewer%2fLICENSE',
      '%2e%2e/package.json',
      'app.ts',
    ])
      expect((await fetch(`${service.url}/tokens/${path}`)).status, path).to.equal(404)
  })

  it('are not sent again to who has them', async () => {
    const { headers } = await fetch(`${service.url}/tokens/app.js`)
    await request(service.url)
      .get('/tokens/app.js')
      .set('If-None-Match', headers.get('etag') ?? '')
      .expect(304)
  })
})

describe('The page in an app', () => {
  let app: HostApp
  const user: User = { accountId: 'acct_1', subject: 'ada', scopes: ['orders:read'] }
  before(async () => {
    app = await startHost(
      (koa, ledger) => {
        koa.use(
          mount('/app', ledger.page({ prefix: '/keys', title: '<b>Keys</b>', theme: { accent: '#0b6e4f' } })),
        )
        koa.use(mount('/app', ledger.portalRoutes()))
        koa.use(ledger.authenticate())
      },
      {
        publicUrl: 'http://127.0.0.1/app',
        resolveUser: (ctx) => (ctx.get('X-Login') === 'ada' ? user : null),
      },
    )
  })
  after(() => app.close())
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${app.url}/app/keys${path}`, {
      ...init,
      headers: { 'X-Login': 'ada', ...(init.headers as object) },
    })

  it('is where it was mounted, with the look and title of the host', async () => {
    const text = await (await ask('')).text()
    expect(text).to.include('<title>&lt;b&gt;Keys&lt;/b&gt;</title>').and.to.include('src="keys/app.js"')
    expect(await (await ask('/')).text()).to.include('src="app.js"')
    expect(await (await ask('/theme.css')).text()).to.equal(':root { --accent: #0b6e4f; }\n')
  })

  it('shows the path that the caller sees in what it answers', async () => {
    const made = await ask('/api/tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"name":"first"}',
    })
    const { id } = (await made.json()) as { id: string }
    expect(made.headers.get('location')).to.equal(`/app/keys/api/tokens/${id}`)
    await ask('/api/tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"name":"second"}',
    })
    const page = await ask('/api/tokens?limit=1')
    expect(page.headers.get('link')).to.match(/^<\/app\/keys\/api\/tokens\?.+>; rel="next"$/)
    const [, next = ''] = /<([^>]+)>/.exec(page.headers.get('link') ?? '') ?? []
    const second = (await (await fetch(app.url + next, { headers: { 'X-Login': 'ada' } })).json()) as {
      data: object[]
    }
    expect(second.data).to.have.lengthOf(1)
  })

  it('is where links of the portal lead, below the public URL', async () => {
    const answer = await fetch(`${app.url}/app/settings/portal-sessions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${jwtFor('acct_1')}` },
    })
    const { url } = (await answer.json()) as { url: string }
    expect(url).to.match(/^http:\/\/127\.0\.0\.1\/app\/keys#code=/)
    const opened = await ask('/api/session', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code: codeOf(url) }),
    })
    expect(opened.status).to.equal(204)
  })

  it('does nothing in another account than the page shows', async () => {
    const change = (shown: string) =>
      ask('/api/tokens', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'page-account': shown },
        body: '{"name":"x"}',
      })
    const refused = await change('acct_2')
    expect([refused.status, ((await refused.json()) as { code: string }).code]).to.deep.equal([
      409,
      'other_account',
    ])
    expect((await change('acct_1')).status).to.equal(201)
  })

  it('knows who is logged in by the host', async () => {
    expect(await (await ask('/api/session')).json()).to.include({
      account_id: 'acct_1',
      subject: 'ada',
      expires_at: null,
    })
    expect((await fetch(`${app.url}/app/keys/api/session`)).status).to.equal(401)
    const made = await ask('/api/tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'x', scopes: ['orders:write'] }),
    })
    expect(made.status).to.equal(403)
  })

  it('takes no change from a page of another origin', async () => {
    for (const site of ['cross-site', 'same-site']) {
      const answer = await ask('/api/tokens', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'sec-fetch-site': site },
        body: '{"name":"x"}',
      })
      expect(answer.status).to.equal(403)
    }
  })

  const wrong: [string, unknown][] = [
    ['prefix', 'tokens'],
    ['returnURL', '/'],
    ['tryUrl', 5],
    ['title', null],
    ['lang', '"><script>'],
    ['theme', { accent: 'red; } body { display: none' }],
    ['theme', { accent: 'url(https://evil.example)' }],
    ['theme', { colour: 'red' }],
    ['texts', { nothing: 'x' }],
    ['texts', { newToken: 7 }],
  ]
  for (const [name, value] of wrong) {
    it(`refuses the option ${name} ${JSON.stringify(value)}`, () => {
      expect(() => app.ledger.page({ [name]: value })).to.throw(TypeError, name)
    })
  }
})
