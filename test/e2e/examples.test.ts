import { rm } from 'node:fs/promises'
import { expect } from 'chai'
import {
  assertDependencies,
  installExample,
  type Running,
  runReadme,
  startExample,
} from '../support/examples.ts'
import { jwtFor } from '../support/ledger.ts'

const PACKAGES = ['@koa/router', 'koa']

/** Copied and installed as its README says, with this package as it is built in place of the published one. */
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

/** A host whose customers are logged in by a cookie. */
describe('the example of a login of one’s own', function () {
  this.timeout(60_000)
  let folder: string
  let app: Running

  before(async () => {
    folder = await installExample('session', ['koa', 'koa-session'])
    app = await startExample(folder)
  })

  after(async () => {
    app?.child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })

  it('depends on versions that this package is tested with', () =>
    assertDependencies('session', ['koa', 'koa-session']))

  it('has a README whose commands make, use and revoke a token by a cookie', async () => {
    const printed = await runReadme('session', folder, app.url)
    for (const text of ['The Mythical Man-Month', '"scope_not_grantable"', '"cross_origin"'])
      expect(printed).to.contain(text)
    expect(printed).to.contain('"actor":{"kind":"user","id":"ada"}')
    expect(printed).to.match(/now it is 401\n$/)
  })

  async function cookieOf(person: string): Promise<Record<string, string>> {
    const Authorization = `Basic ${Buffer.from(person).toString('base64')}`
    const answer = await fetch(`${app.url}/login`, { method: 'POST', headers: { Authorization } })
    expect(answer.status).to.equal(204)
    return {
      Cookie: answer.headers
        .getSetCookie()
        .map((one) => one.split(';', 1)[0])
        .join('; '),
    }
  }

  it('lets Bob look, and change nothing', async () => {
    const headers = { ...(await cookieOf('bob:babbage')), 'Content-Type': 'application/json' }
    const tokens = `${app.url}/settings/api-tokens`
    expect((await fetch(tokens, { headers })).status).to.equal(200)
    const refused = await fetch(tokens, { method: 'POST', headers, body: '{"name":"x"}' })
    expect([refused.status, ((await refused.json()) as { code: string }).code]).to.deep.equal([
      403,
      'read_only',
    ])
  })

  it('is not entered by a cookie where a token is asked for, and shows its own page elsewhere', async () => {
    const headers = await cookieOf('ada:lovelace')
    expect((await fetch(`${app.url}/orders`, { headers })).status).to.equal(401)
    const nowhere = await fetch(`${app.url}/nowhere`, { headers })
    expect([nowhere.status, await nowhere.text()]).to.deep.equal([404, 'This app has no such page.\n'])
  })

  it('ends by itself at SIGTERM', async () => {
    app.child.kill('SIGTERM')
    expect(await app.exited).to.equal(0)
  })
})
