import { readFileSync } from 'node:fs'

const pageOf = (path: string): string => readFileSync(new URL(`../../../../${path}`, import.meta.url), 'utf8')
/** The examples of a page. */
const examplesOf = (path: string): string[] =>
  [...pageOf(path).matchAll(/```ts\n([\s\S]*?)```/g)].map(([, text = '']) => text)

const [ofReadme = 'the README has no example'] = examplesOf('README.md')
const [ofLogin = 'there is no example of a login', ofCode = 'there is none of calls from code'] =
  examplesOf('docs/library.md')

/** A stranger's project: a strict TypeScript Koa app with one protected route, as the README would have it. */
export const consumerFiles: Record<string, string> = {
  'package.json': JSON.stringify({ name: 'stranger', private: true, type: 'module' }),

  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      target: 'es2023',
      lib: ['es2023'],
      module: 'nodenext',
      types: ['node'],
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      rootDir: '.',
      outDir: 'out',
    },
    include: ['app.ts', 'readme.ts', 'typed.ts', 'login.ts', 'code.ts'],
  }),

  'app.ts': `
import Koa from 'koa'
import { createTokenLedger, type Principal, type TokenLedger, type TokenLedgerOptions } from 'tokenledger'

const options: TokenLedgerOptions = {
  eventStoreUrl: 'sqlite:./data/events.db',
  readModelUrl: 'sqlite:./data/read-model.db',
  jwt: { secret: process.env['APP_JWT_SECRET'] ?? '' },
  peppers: 'k1:' + process.env['APP_PEPPER'],
  resolveAccount: async (accountId: string) => (accountId === 'acct_1' ? { id: accountId, plan: 'pro' } : null),
}
const ledger: TokenLedger = await createTokenLedger(options)
const mayReadOrders: Koa.Middleware = ledger.requireScope('orders:read')

const app = new Koa()
app.use(async (ctx, next) => {
  if (ctx.path !== '/who-is') return next()
  const principal: Principal | null = await ledger.verify(ctx.get('X-Candidate'))
  ctx.body = { accountId: principal?.accountId ?? null, kind: principal?.kind ?? null }
})
app.use(ledger.operationRoutes())
app.use(ledger.authenticate())
app.use(ledger.routes())
app.use((ctx, next) => (ctx.path === '/orders' ? mayReadOrders(ctx, next) : next()))
app.use((ctx) => {
  if (ctx.path === '/orders') ctx.body = { orders: [17], principal: ctx.state.principal, account: ctx.state.account }
})

const server = app.listen(0, '127.0.0.1', () => console.log('port', (server.address() as { port: number }).port))
// No process.exit: the process ends by itself once the server and the ledger hold nothing open.
process.once('SIGTERM', () => {
  server.close()
  server.closeAllConnections()
  void ledger.close()
})
`,
  // Checked for its types only, as what follows. Where an error is expected, none would be one.
  'typed.ts': `
import Router from '@koa/router'
import Koa from 'koa'
import { createTokenLedger, type Principal, type TokenLedger, type TokenLedgerState } from 'tokenledger'

interface Account { id: string; plan: 'free' | 'pro' }
const find = async (id: string): Promise<Account | null> => ({ id, plan: 'pro' })

export const ledger: TokenLedger<Account> = await createTokenLedger<Account>({ resolveAccount: find })
const inferred = await createTokenLedger({ resolveAccount: find, onProblem: (ctx, { code }) => { ctx.body = { code } } })
export const same: TokenLedger<Account> = inferred
const accounts = new Map<string, Account>()
export const looked: TokenLedger<Account> = await createTokenLedger({ resolveAccount: (id) => accounts.get(id) ?? null })
export const any: TokenLedger = ledger

const verified = await ledger.verify('tkl_x', { method: 'GET', route: '/orders/:id', ip: '192.0.2.1', userAgent: null })
export const plan: 'free' | 'pro' | undefined = verified?.account.plan
export const accountId: string | undefined = verified?.accountId
// @ts-expect-error the account has no such member
export const none = verified?.account.price

const plain = await createTokenLedger<Account>()
export const own: Account | undefined = (await plain.verify('x'))?.account
const simple = await createTokenLedger()
export const id: string | undefined = (await simple.verify('x'))?.account.id

// @ts-expect-error undefined is no answer: null is
void createTokenLedger({ resolveAccount: (key: string) => accounts.get(key) })
// @ts-expect-error of another type
void createTokenLedger<Account>({ resolveAccount: async (key: string) => ({ id: key }) })

const app = new Koa<TokenLedgerState<Account>>()
app.use(ledger.routes({ prefix: '/account/tokens' }))
app.use(ledger.authenticate())
app.use(ledger.requireScope('orders:read'))
app.use(async (ctx, next) => {
  const principal: Principal = ctx.state.principal
  const scopes: readonly string[] = principal.scopes
  const plan: 'free' | 'pro' = ctx.state.account.plan
  ctx.body = { scopes, plan }
  // @ts-expect-error the state is typed
  ctx.state.nothing
  await next()
})

const router = new Router<TokenLedgerState<Account>>()
router.get('/orders/:id', ledger.authenticate(), ledger.requireScope('orders:read'), (ctx) => {
  const plan: 'free' | 'pro' = ctx.state.account.plan
  ctx.body = { id: ctx.params['id'], plan }
})
app.use(router.routes())

const small = new Koa<TokenLedgerState>()
small.use(simple.authenticate({ optional: true })).use((ctx) => {
  const id: string = ctx.state.account.id
  ctx.body = { id }
})
interface Session { session: { user: string } }
const mixed = new Koa<TokenLedgerState<Account> & Session>()
mixed.use(ledger.authenticate()).use((ctx) => {
  ctx.body = [ctx.state.session.user, ctx.state.account.plan]
})
`,
  'readme.ts': ofReadme,
  'login.ts': ofLogin,
  'code.ts': ofCode,
}
