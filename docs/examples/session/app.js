import bodyParser from '@koa/bodyparser'
import Router from '@koa/router'
import Koa from 'koa'
import mount from 'koa-mount'
import session from 'koa-session'
import { createTokenLedger } from 'tokenledger'

/** What this app has in a database: who may log in, for which account, with which scopes of their own. */
const people = new Map([
  ['ada:lovelace', { accountId: 'acct_1', subject: 'ada', scopes: ['orders:read'] }],
  ['bob:babbage', { accountId: 'acct_1', subject: 'bob', scopes: [], can: ['read'] }],
])

const LOGIN = `<!doctype html>
<title>Log in</title>
<form method="post">
  <label>Name <input name="name" autocomplete="username"></label>
  <label>Password <input name="password" type="password" autocomplete="current-password"></label>
  <button>Log in</button>
</form>
`

/** @param stores `{ eventStoreUrl, readModelUrl }` */
export function openLedger(stores) {
  return createTokenLedger({
    ...stores,
    // Whoever is logged in here manages the tokens of the account, and gives out no scope that they lack.
    resolveUser: (ctx) => ctx.session.user ?? null,
  })
}

/** @param sessionKey signs the cookies */
export function createApp(ledger, sessionKey) {
  const router = new Router()
  router.get('/login', (ctx) => {
    ctx.type = 'html'
    ctx.body = LOGIN
  })
  router.post('/login', (ctx) => {
    const { name, password } = ctx.request.body ?? {}
    ctx.session.user = people.get(`${name}:${password}`)
    ctx.status = ctx.session.user ? 204 : 401
    // From the form it goes on to the page.
    if (ctx.session.user && ctx.is('urlencoded')) ctx.redirect('/tokens')
  })
  router.post('/logout', (ctx) => {
    ctx.session = null
    ctx.status = 204
  })
  router.get('/api/orders', ledger.authenticate(), ledger.requireScope('orders:read'), (ctx) => {
    ctx.body = { account: ctx.state.account.id, orders: ['The Mythical Man-Month'] }
  })

  const app = new Koa({ keys: [sessionKey] })
  // Answers what nobody else has answered. What the ledger refuses is a problem document already.
  app.use(async (ctx, next) => {
    try {
      await next()
      if (ctx.body !== undefined || ctx.status !== 404) return
      ctx.status = 404
    } catch (error) {
      ctx.status = error.expose ? error.status : 500
      if (ctx.status === 500) app.emit('error', error, ctx)
    }
    ctx.body = `${ctx.status}: this app could not do that.\n`
  })
  app.use(session({ sameSite: 'lax' }, app))
  // Behind the session, which resolveUser looks at, and in front of what reads bodies.
  app.use(ledger.page({ returnUrl: '/login', tryUrl: '/api/orders' }))
  app.use(bodyParser())
  // For programs the tokens are at /api/settings/api-tokens.
  app.use(mount('/api', ledger.routes()))
  app.use(router.routes())
  return app
}
