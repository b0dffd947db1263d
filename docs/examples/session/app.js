import { randomBytes } from 'node:crypto'
import Koa from 'koa'
import session from 'koa-session'
import { createTokenLedger } from 'tokenledger'

/** What this app has in a database: who may log in, for which account, with which scopes of their own. */
const people = new Map([
  ['ada:lovelace', { accountId: 'acct_1', subject: 'ada', scopes: ['orders:read'] }],
  ['bob:babbage', { accountId: 'acct_1', subject: 'bob', scopes: [], can: ['read'] }],
])

const ledger = await createTokenLedger({
  eventStoreUrl: 'sqlite:./data/events.db',
  readModelUrl: 'sqlite:./data/read-model.db',
  // Whoever is logged in here manages the tokens of the account, and gives out no scope that they lack.
  resolveUser: (ctx) => ctx.session.user ?? null,
})

const app = new Koa({ keys: [process.env.SESSION_KEY ?? randomBytes(32).toString('hex')] })
app.use(async (ctx, next) => {
  await next()
  if (ctx.status !== 404 || ctx.body) return
  ctx.status = 404
  ctx.body = 'This app has no such page.\n'
})
app.use(session({ sameSite: 'lax' }, app))
// Behind the session, which resolveUser looks at, and in front of body parsers.
app.use(ledger.routes())
app.use(async (ctx, next) => {
  if (ctx.method !== 'POST' || !['/login', '/logout'].includes(ctx.path)) return next()
  const [, basic = ''] = ctx.get('Authorization').split(' ')
  const user = ctx.path === '/login' ? people.get(atob(basic)) : undefined
  ctx.session.user = user
  ctx.status = user || ctx.path === '/logout' ? 204 : 401
})
const mayRead = ledger.requireScope('orders:read')
app.use(async (ctx, next) => (ctx.path === '/orders' ? mayRead(ctx, next) : next()))
app.use((ctx) => {
  if (ctx.path === '/orders') ctx.body = { account: ctx.state.account.id, orders: ['The Mythical Man-Month'] }
})

const server = app.listen(Number(process.env.PORT ?? 4000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
process.once('SIGTERM', () => server.close(() => ledger.close()))
process.once('SIGINT', () => server.close(() => ledger.close()))
