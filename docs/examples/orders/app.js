import Router from '@koa/router'
import Koa from 'koa'
import { createTokenLedger } from 'tokenledger'

/** What this app has in a database: its customers, and what they have ordered. */
const accounts = new Map([['acct_1', { id: 'acct_1', name: 'Ada’s Books' }]])
const orders = new Map([['acct_1', [{ id: 17, title: 'The Mythical Man-Month' }]]])

// Keys and all other settings that are not given here come from the environment: in production JWT_SECRET, with which
// this app's login signs, and TOKEN_PEPPERS.
const ledger = await createTokenLedger({
  eventStoreUrl: 'sqlite:./data/events.db',
  readModelUrl: 'sqlite:./data/read-model.db',
  // Null, for an account that is unknown or closed, makes its tokens and JWTs 401.
  resolveAccount: async (accountId) => accounts.get(accountId) ?? null,
})

const router = new Router()

router.get('/', (ctx) => {
  ctx.body = { service: 'orders' }
})

router.get('/orders', ledger.authenticate(), ledger.requireScope('orders:read'), (ctx) => {
  const { account, principal } = ctx.state
  ctx.body = { account: account.name, asked_by: principal.kind, orders: orders.get(account.id) ?? [] }
})

const app = new Koa()
// The routes where tokens are made and revoked, /settings/api-tokens. They authenticate by themselves.
app.use(ledger.routes())
app.use(router.routes())

const server = app.listen(Number(process.env.PORT ?? 4000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})

/** Requests under way are answered, then usage is stored. With nothing left open the process ends by itself. */
function stop() {
  server.close(() => ledger.close())
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
