import { expect } from 'chai'
import { bearer, tokenHeader } from '../../support/callers/caller.ts'
import { type HostApp, served, startHost } from '../../support/processes/hostApp.ts'
import { jwtFor, PEPPERS } from '../../support/processes/ledger.ts'
import { createTokenLedger, type TokenLedger } from '../../../src/ledger/ledger.ts'

const OTHER_SECRET = 'the secret of the other ledger: 32 bytes'
const by = { actor: 'test' }

describe('Two ledgers in one app', () => {
  let other: TokenLedger
  let host: HostApp
  let ask: (path: string, headers: Record<string, string>) => Promise<{ status: number; text: string }>

  before(async () => {
    other = await createTokenLedger({
      eventStoreUrl: 'sqlite::memory:',
      readModelUrl: 'sqlite::memory:',
      jwt: { secret: OTHER_SECRET },
      peppers: PEPPERS,
      usageFlushMs: 20,
      resolveUser: (ctx) => (ctx.get('X-Login') === '' ? null : { accountId: ctx.get('X-Login') }),
    })
    host = await startHost((app, ledger) => {
      app.use(ledger.authenticate({ optional: true }))
      app.use((ctx, next) => (ctx.path === '/both' ? other.authenticate()(ctx, next) : next()))
      app.use((ctx, next) => (ctx.path === '/scope' ? other.requireScope('a')(ctx, next) : next()))
      app.use((ctx, next) => (ctx.path === '/back' ? other.authenticate()(ctx, next) : next()))
      app.use((ctx, next) => (ctx.path === '/back' ? ledger.requireScope('a')(ctx, next) : next()))
      app.use(other.routes({ prefix: '/other' }))
      app.use(served)
    })
    ask = async (path, headers) => {
      const response = await fetch(host.url + path, { headers })
      return { status: response.status, text: await response.text() }
    }
  })
  after(async () => {
    await host.close()
    await other.close()
  })

  it("do not take each other's word for a credential", async () => {
    const { token } = await host.ledger.tokens.create('acct_1', { name: 'x', scopes: ['a'] }, by)
    const own = [tokenHeader(token), bearer(jwtFor('acct_1', { scope: 'a' }))]
    for (const headers of own) {
      expect((await ask('/', headers)).status).to.equal(200)
      for (const path of ['/both', '/scope', '/other', '/other/usage', '/other/self', '/back'])
        expect((await ask(path, headers)).status, path).to.equal(401)
    }
    expect((await ask('/other', { 'X-Login': 'acct_1' })).status, 'nor is a user asked beside one').to.equal(
      200,
    )
    expect((await ask('/other', { 'X-Login': 'acct_1', ...own[0] })).status).to.equal(401)
  })

  it('let in whom both of them know, and count each use once', async () => {
    const both = { secret: OTHER_SECRET }
    const shared = await startHost(
      (app, ledger) => {
        app.use(ledger.authenticate()).use(other.authenticate()).use(ledger.requireScope('a'))
        app.use(ledger.authenticate()).use(other.requireScope('a')).use(served)
      },
      { jwt: both },
    )
    const headers = bearer(jwtFor('acct_1', { scope: 'a' }, OTHER_SECRET))
    expect((await fetch(shared.url, { headers })).status).to.equal(200)
    const accepted = /tokenledger_authentications_total\{kind="jwt",outcome="accepted"\} 1\n/
    expect(await shared.ledger.metrics()).to.match(accepted)
    expect(await other.metrics()).to.match(accepted)
    await shared.close()
  })
})
