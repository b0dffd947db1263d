import { createHash, createSecretKey } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import Router from '@koa/router'
import jwt from 'jsonwebtoken'
import Koa, { type Middleware } from 'koa'
import { koaBody } from 'koa-body'
import { MongoClient } from 'mongodb'
import { connect } from '../../src/adapters/sqlite/database/driver.ts'
import { createTokenLedger } from '../../src/ledger/ledger.ts'

/**
 * What the service is compared with: `node peers.js <port>`. Each route that is measured has a process of its own. The
 * routes send the same headers and bodies as the service's, and do nothing else.
 */

const answer: Middleware = (ctx) => {
  ctx.set('X-Request-Id', '2b6764dc-8ca8-446b-8c59-b2866498e909')
  ctx.set('Cache-Control', 'no-store')
  ctx.set('X-Account-Id', 'acct_1')
  ctx.set('X-Auth-Kind', 'token')
  ctx.set('X-Token-Id', '01a207c1-f16e-72ce-a419-b063fdf86970')
  ctx.set('X-Token-Scopes', '')
  ctx.body = {
    kind: 'token',
    account_id: 'acct_1',
    token_id: '01a207c1-f16e-72ce-a419-b063fdf86970',
    scopes: [],
  }
}

const key = createSecretKey(Buffer.from(process.env.JWT_SECRET ?? ''.padEnd(32, '-')))

/** The usual way to protect a route: `jsonwebtoken`, with a KeyObject that is made once. */
const withJwt: Middleware = async (ctx, next) => {
  const token = ctx.get('authorization').slice('Bearer '.length)
  ctx.state.user = jwt.verify(token, key, { algorithms: ['HS256'] })
  await next()
}

/** The usual way to accept API tokens with MongoDB: every request looks the hash up and writes the last use. */
async function withLookUp(url: string): Promise<Middleware> {
  const client = await new MongoClient(url).connect()
  const tokens = client.db().collection<{ hash: string; accountId: string; lastAccessed: Date }>('usual')
  await tokens.createIndex({ hash: 1 }, { unique: true })
  return async (ctx, next) => {
    const hash = createHash('sha256').update(ctx.get('x-api-token')).digest('hex')
    const token = await tokens.findOne({ hash })
    if (!token) return ctx.throw(401)
    await tokens.updateOne({ _id: token._id }, { $set: { lastAccessed: new Date() } })
    await next()
  }
}

/** The same with SQLite. With `NORMAL` no write waits for the disk, and with `FULL` each does. */
async function withRow(path: string, synchronous: string): Promise<Middleware> {
  const database = await connect(path, false)
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}`)
  const find = database.prepare('SELECT id, account_id FROM tokens WHERE hash = ?')
  const use = database.prepare('UPDATE tokens SET last_accessed = ? WHERE id = ?')
  return async (ctx, next) => {
    const token = find.get(createHash('sha256').update(ctx.get('x-api-token')).digest('hex'))
    if (!token) return ctx.throw(401)
    use.run(new Date().toISOString(), Number(token.id))
    await next()
  }
}

const created: Middleware = (ctx) => {
  answer(ctx, async () => {})
  ctx.status = 201
}

const router = new Router()
router.get('/bare', answer)
router.get('/jwt', withJwt, answer)
const { MONGODB_URL, USUAL_DATABASE, USUAL_SYNCHRONOUS = '', EVENT_STORE_URL } = process.env
if (MONGODB_URL) router.get('/usual', await withLookUp(MONGODB_URL), answer)
if (USUAL_DATABASE) router.get('/usual', await withRow(USUAL_DATABASE, USUAL_SYNCHRONOUS), answer)
if (EVENT_STORE_URL) {
  const ledger = await createTokenLedger()
  router.get('/library', ledger.authenticate(), answer)
  process.once('SIGTERM', () => void ledger.close().then(() => process.exit(0)))
}
router.post('/parse', koaBody({ text: false, urlencoded: false, multipart: false }), created)

const app = new Koa()
app.use(router.routes() as unknown as Middleware)
const handle = app.callback()
const server: Server = createServer((request, response) => void handle(request, response))
server.listen(Number(process.argv[2]), '127.0.0.1', () => process.stdout.write('ready\n'))
