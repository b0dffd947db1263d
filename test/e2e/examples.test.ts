import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  assertDependencies,
  installExample,
  type Running,
  runReadme,
  startExample,
} from '../support/project/examples.ts'
import { jwtFor } from '../support/processes/ledger.ts'
import { projectRoot, run } from '../support/project/package.ts'

const PACKAGES = ['@koa/router', 'koa']

/**
 * The example is copied and installed as its README says, with this package as it is built in place of the published
 * one.
 */
describe('the example of a Koa app', () => {
  let folder: string
  let app: Running

  before(async () => {
    folder = await installExample('orders', PACKAGES)
    app = await startExample(folder)
  })

  after(async () => {
    app?.child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })

  it('depends on versions that this package is tested with', () => assertDependencies('orders', PACKAGES))

  it('has a README whose commands make, use and revoke a token', async () => {
    expect(await runReadme('orders', folder, app.url))
      .to.contain('The Mythical Man-Month')
      .and.to.match(/now it is 401\n$/)
  })

  it('guards its own route: who has no token, no scope, or a revoked token does not come in', async () => {
    const jwt = { Authorization: `Bearer ${jwtFor('acct_1')}` }
    const tokens = `${app.url}/settings/api-tokens`
    const create = async (scopes: string[]) => {
      const answer = await fetch(tokens, {
        method: 'POST',
        headers: { ...jwt, 'Content-Type': 'application/json' },
        body: JSON.stringify({ name: 'a test', scopes }),
      })
      expect(answer.status).to.equal(201)
      return (await answer.json()) as { id: string; token: string }
    }
    const orders = (headers: Record<string, string>) => fetch(`${app.url}/orders`, { headers })
    const { id, token } = await create(['orders:read'])

    expect((await fetch(app.url)).status).to.equal(200)
    expect((await orders({})).status).to.equal(401)
    expect((await orders({ 'X-API-Token': (await create([])).token })).status).to.equal(403)
    const used = await orders({ 'X-API-Token': token })
    expect(used.status).to.equal(200)
    expect(await used.json()).to.include({ account: 'Ada’s Books', asked_by: 'token' })
    expect((await orders({ Authorization: `Bearer ${jwtFor('acct_2')}` })).status).to.equal(401)

    expect((await fetch(`${tokens}/${id}`, { method: 'DELETE', headers: jwt })).status).to.equal(204)
    expect((await orders({ 'X-API-Token': token })).status).to.equal(401)
  })

  it('ends by itself at SIGTERM, with the uses stored', async () => {
    const headers = { Authorization: `Bearer ${jwtFor('acct_1')}` }
    app.child.kill('SIGTERM')
    expect(await app.exited).to.equal(0)
    app = await startExample(folder)
    const usage = await fetch(`${app.url}/settings/api-tokens/usage`, { headers })
    const { routes } = (await usage.json()) as {
      routes: { method: string; route: string; requests: number }[]
    }
    expect(routes.find(({ route }) => route === '/orders')).to.include({ method: 'GET' })
  })
})

const SESSION_PACKAGES = ['@koa/bodyparser', '@koa/router', 'koa', 'koa-mount', 'koa-session']

/** A host whose customers log in and get a cookie. */
describe('the example of a login of one’s own', function () {
  this.timeout(60_000)
  let folder: string
  let app: Running

  before(async () => {
    folder = await installExample('session', [...SESSION_PACKAGES, 'supertest'])
    app = await startExample(folder, 'server.js')
  })

  after(async () => {
    app?.child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })

  it('depends on versions that this package is tested with', () =>
    assertDependencies('session', SESSION_PACKAGES))

  it('has a README whose commands make, use and revoke a token by a cookie', async () => {
    const printed = await runReadme('session', folder, app.url)
    for (const text of ['The Mythical Man-Month', '"scope_not_grantable"', '"cross_origin"'])
      expect(printed).to.contain(text)
    expect(printed).to.contain('"actor":{"kind":"user","id":"ada"}')
    expect(printed).to.match(/now it is 401\n$/)
  })

  it('has tests that pass, and that leave nothing on the disk', async () => {
    const files = async () => [...(await readdir(folder)), ...(await readdir(join(folder, 'data')))]
    const before = await files()
    const mocha = join(projectRoot, 'node_modules/mocha/bin/mocha.js')
    const { code, stdout, stderr } = await run(
      process.execPath,
      [mocha, '--timeout', '30000', 'app.test.js'],
      folder,
      50,
    )
    expect(code, stdout + stderr).to.equal(0)
    expect(stdout).to.match(/\b4 passing\b/)
    expect(await files()).to.deep.equal(before)
  })

  async function cookieOf(name: string, password: string): Promise<Record<string, string>> {
    const answer = await fetch(`${app.url}/login`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ name, password }),
    })
    expect(answer.status).to.equal(204)
    return {
      Cookie: answer.headers
        .getSetCookie()
        .map((one) => one.split(';', 1)[0])
        .join('; '),
    }
  }

  it('lets Bob look, and change nothing', async () => {
    const headers = { ...(await cookieOf('bob', 'babbage')), 'Content-Type': 'application/json' }
    const tokens = `${app.url}/api/settings/api-tokens`
    expect((await fetch(tokens, { headers })).status).to.equal(200)
    const refused = await fetch(tokens, { method: 'POST', headers, body: '{"name":"x"}' })
    expect([refused.status, ((await refused.json()) as { code: string }).code]).to.deep.equal([
      403,
      'read_only',
    ])
  })

  it('is not entered by a cookie where a token is asked for, and shows its own page elsewhere', async () => {
    const headers = await cookieOf('ada', 'lovelace')
    expect((await fetch(`${app.url}/api/orders`, { headers })).status).to.equal(401)
    const nowhere = await fetch(`${app.url}/nowhere`, { headers })
    expect([nowhere.status, await nowhere.text()]).to.deep.equal([404, '404: this app could not do that.\n'])
  })

  it('ends by itself at SIGTERM', async () => {
    app.child.kill('SIGTERM')
    expect(await app.exited).to.equal(0)
  })
})
