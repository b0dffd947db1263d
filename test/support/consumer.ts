import { readFileSync } from 'node:fs'

const pageOf = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
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
    include: ['app.ts', 'readme.ts', 'login.ts', 'code.ts'],
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
  // Checked for their types only.
  'readme.ts': ofReadme,
  'login.ts': ofLogin,
  'code.ts': ofCode,
}
