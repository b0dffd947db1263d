import { createHash } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { MongoClient } from 'mongodb'
import { run } from './load.ts'
import { ownFolder } from './ownFolder.ts'
import { cpuMicros, freePort, here, median, type Server, startServer } from './processes.ts'
import { JWT_SECRET, seedTokens, TOKEN_PEPPERS } from './seed.ts'
import { inFolder, type Mongo, mongo, type Stores } from './stores.ts'

const TURNS = 15
/** In a shorter turn, the windows of usage that are flushed in it would count for too much. */
const REQUESTS = 4000
const WARM_UP = 15_000
/**
 * How many tokens are in use at the same time, spread over all tokens. Each costs an event and three documents a
 * second.
 */
const ACTIVE = 10

export interface ContenderRow {
  name: string
  /** CPU time of one request, in microseconds: the median over all turns. */
  micros: number
  perSecond: number
  /** CPU time of bare Koa divided by that of this contender: the median over all turns. For bare Koa it is 1. */
  ofBare: number
  /** The same for the route behind `jsonwebtoken`. */
  ofJwt: number
}

export interface Verified {
  rows: ContenderRow[]
  /**
   * With MongoDB: its CPU time divided by SQLite's, and its throughput divided by that of the usual way on the same
   * server.
   */
  mongodb: { cpuOfSqlite: number; rateOfUsual: number } | null
  starts: { name: string; ms: number }[]
}

interface Contender {
  name: string
  server: Server
  url: string
  headers: (n: number) => Record<string, string>
}

const agent = { 'user-agent': 'bench', accept: '*/*' }
const withToken = (tokens: readonly string[]) => (n: number) => ({
  ...agent,
  'x-api-token': tokens[n % tokens.length] as string,
})

/**
 * Measures CPU time per request and throughput: of the service's `/auth/verify`, of a route behind the library's
 * `authenticate()`, of bare Koa, and of a route behind `jsonwebtoken`. With MongoDB also of the service on MongoDB, and
 * of a route that looks up and writes on each request.
 */
export async function benchVerify(readModel: 'sqlite' | 'mongodb'): Promise<Verified> {
  const server = readModel === 'mongodb' ? await mongo() : null
  try {
    return await compare(server)
  } finally {
    await server?.stop()
  }
}

async function compare(server: Mongo | null): Promise<Verified> {
  const small = await seeded(1_000)
  const large = await seeded(100_000)
  const services = [await service('1,000 tokens', small), await service('100,000 tokens', large)]
  if (server) services.push(await onMongo(server, large))
  const bearer = jwt.sign({ sub: 'acct_1' }, JWT_SECRET, { expiresIn: '1h' })
  const contenders: Contender[] = [
    await peer('bare Koa + @koa/router', '/bare', withToken(['x'.repeat(53)])),
    await peer('behind jsonwebtoken', '/jwt', () => ({ ...agent, authorization: `Bearer ${bearer}` })),
    ...services,
    await library(await seeded(1_000)),
    ...(server
      ? [
          await peer('findOne and updateOne', '/usual', withToken(large.active), {
            MONGODB_URL: server.url('usual'),
          }),
        ]
      : []),
  ]
  const indexOf = (wanted: Contender | undefined) => contenders.findIndex((one) => one === wanted)

  for (const contender of contenders) await measure(contender, WARM_UP)
  const turns: Measured[][] = []
  for (let turn = 0; turn < TURNS; turn++) {
    const measured: Measured[] = []
    for (const contender of contenders) measured.push(await measure(contender, REQUESTS))
    turns.push(measured)
  }
  await Promise.all(contenders.map((one) => one.server.stop()))

  const of = (index: number, value: keyof Measured) => turns.map((turn) => turn[index]?.[value] ?? Number.NaN)
  const ratio = (value: keyof Measured, a: number, b: number) => {
    const [over, under] = [of(a, value), of(b, value)]
    return median(over.map((one, i) => one / (under[i] ?? Number.NaN)))
  }
  return {
    rows: contenders.map(({ name }, i) => ({
      name,
      micros: median(of(i, 'micros')),
      perSecond: median(of(i, 'perSecond')),
      ofBare: ratio('micros', 0, i),
      ofJwt: ratio('micros', 1, i),
    })),
    mongodb: server && {
      cpuOfSqlite: ratio('micros', indexOf(services[2]), indexOf(services[1])),
      rateOfUsual: ratio('perSecond', indexOf(services[2]), contenders.length - 1),
    },
    starts: services.map(({ name, start }) => ({ name, ms: start })),
  }
}

interface Measured {
  micros: number
  perSecond: number
}

async function measure({ server, url, headers }: Contender, amount: number): Promise<Measured> {
  const before = cpuMicros(server.pid)
  const perSecond = await run({ url: server.url + url, amount, headers })
  return { micros: (cpuMicros(server.pid) - before) / amount, perSecond }
}

/** A route of `peers.ts`, in a process of its own. */
async function peer(
  name: string,
  url: string,
  headers: Contender['headers'],
  env: Record<string, string> = {},
): Promise<Contender> {
  const port = await freePort()
  const server = await startServer(here('./peers.js'), [String(port)], {
    cwd: tmpdir(),
    env: { JWT_SECRET, ...env },
    port,
    log: '/dev/null',
  })
  return { name, server, url, headers }
}

const library = ({ folder, active }: Seeded): Promise<Contender> =>
  peer('behind authenticate(), 1,000 tokens', '/library', withToken(active), {
    TOKEN_PEPPERS,
    ...inFolder(folder),
  })

interface Seeded {
  folder: string
  active: string[]
}

async function seeded(count: number): Promise<Seeded> {
  const folder = ownFolder()
  const tokens = await seedTokens(folder, count)
  return { folder, active: tokens.filter((_, i) => i % (count / ACTIVE) === 0) }
}

/** `start` is the time in milliseconds until it first answered. */
type Service = Contender & { start: number }

async function service(
  name: string,
  { folder, active }: Seeded,
  stores: Stores = inFolder(folder),
): Promise<Service> {
  const port = await freePort()
  const started = performance.now()
  const server = await startServer(here('../../src/main.js'), [], {
    cwd: folder,
    env: { PORT: String(port), JWT_SECRET, TOKEN_PEPPERS, ...stores },
    port,
    log: join(folder, 'service.log'),
  })
  const start = performance.now() - started
  return { name: `/auth/verify, ${name}`, server, url: '/auth/verify', headers: withToken(active), start }
}

/** Starts a service with the same tokens on MongoDB, and writes the documents that the usual way needs. */
async function onMongo(server: Mongo, { folder, active }: Seeded): Promise<Service> {
  const own = ownFolder()
  copyFileSync(join(folder, 'events.db'), join(own, 'events.db'))
  const stores = { ...inFolder(own), READ_MODEL_URL: server.url('tokens') }
  const filling = await service('filling', { folder: own, active }, stores)
  await filling.server.stop()
  const client = new MongoClient(server.url('usual'))
  const hashes = active.map((token) => ({ hash: createHash('sha256').update(token).digest('hex') }))
  await client.db().collection('usual').insertMany(hashes)
  await client.close()
  return service('100,000 tokens in MongoDB', { folder: own, active }, stores)
}
