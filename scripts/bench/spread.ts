import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MongoClient } from 'mongodb'
import { connect } from '../../src/adapters/sqlite/database/driver.ts'
import { run } from './load.ts'
import { ownFolder } from './ownFolder.ts'
import { cpuMicros, freePort, here, median, type Server, startServer } from './processes.ts'
import { JWT_SECRET, seedTokens, TOKEN_PEPPERS } from './seed.ts'
import { inFolder, type Mongo, mongo } from './stores.ts'

export interface SpreadRow {
  name: string
  /** CPU time of one request and of all that it causes, in microseconds: the median over all turns. */
  micros: number
  /** That time divided by the time of bare Koa, and by the time of the usual way, each in the same turn: medians. */
  ofBare: number
  ofUsual: number
}

const TOKENS = 100_000
const RATE = 2_000
const REQUESTS = 10_000
const TURNS = 5
/** The service stores uses every second. A process that takes less of a core than this has nothing left to do. */
const RESTS = { afterMs: 1_500, everyMs: 500, micros: 25_000 }

interface Contender {
  name: string
  server: Server
  url: string
}

/**
 * Many tokens, each used now and then: 2,000 requests a second over 100,000 tokens, each with another one. What a
 * request causes after its answer counts as well. The usual way looks the token up and writes its last use, each time.
 */
export async function benchSpread(readModel: 'sqlite' | 'mongodb'): Promise<SpreadRow[]> {
  const server = readModel === 'mongodb' ? await mongo() : null
  const folder = ownFolder()
  try {
    const tokens = await seedTokens(folder, TOKENS)
    return await compare(folder, tokens, server)
  } finally {
    await server?.stop()
  }
}

async function compare(
  folder: string,
  tokens: readonly string[],
  server: Mongo | null,
): Promise<SpreadRow[]> {
  const send = async ({ server: { url }, url: path }: Contender, amount: number, rate?: number) => {
    const some = shuffled(tokens)
    const headers = (n: number) => ({ 'user-agent': 'bench', 'x-api-token': some[n % TOKENS] as string })
    await run({ url: url + path, amount, headers, ...(rate && { rate }) })
  }
  const measure = async (contender: Contender): Promise<number> => {
    const before = cpuMicros(contender.server.pid)
    await send(contender, REQUESTS, RATE)
    await rest(contender)
    return (cpuMicros(contender.server.pid) - before) / REQUESTS
  }
  const usual = (name: string, env: Record<string, string>) => start(name, './peers.js', '/usual', env)
  const contenders = [
    await start('bare Koa + @koa/router', './peers.js', '/bare', { JWT_SECRET }),
    ...(server
      ? [await usual('findOne and updateOne', await usualOnMongo(server, tokens))]
      : [
          await usual('SELECT and UPDATE', await usualOnSqlite(folder, tokens, 'NORMAL')),
          await usual('the same, each on the disk', await usualOnSqlite(folder, tokens, 'FULL')),
        ]),
    await start('/auth/verify', '../../src/main.js', '/auth/verify', {
      JWT_SECRET,
      TOKEN_PEPPERS,
      ...inFolder(folder),
      ...(server && { READ_MODEL_URL: server.url('spread') }),
    }),
  ]
  // From here on every token is known, and has been used before.
  for (const contender of contenders) {
    await send(contender, TOKENS)
    await rest(contender)
  }
  const turns: number[][] = []
  for (let turn = 0; turn < TURNS; turn++) {
    const measured: number[] = []
    for (const contender of contenders) measured.push(await measure(contender))
    turns.push(measured)
  }
  await Promise.all(contenders.map((one) => one.server.stop()))
  const times = (of: (turn: number[]) => number): number => median(turns.map(of))
  return contenders.map(({ name }, i) => ({
    name,
    micros: times((turn) => turn[i] as number),
    ofBare: times((turn) => (turn[i] as number) / (turn[0] as number)),
    ofUsual: times((turn) => (turn[i] as number) / (turn[1] as number)),
  }))
}

async function start(
  name: string,
  script: string,
  url: string,
  env: Record<string, string>,
): Promise<Contender> {
  const port = await freePort()
  const isPeer = script === './peers.js'
  const folder = ownFolder()
  const server = await startServer(here(script), isPeer ? [String(port)] : [], {
    cwd: folder,
    env: { PORT: String(port), ...env },
    port,
    log: join(folder, 'log'),
  })
  return { name, server, url }
}

/** Resolves when the process has done all that its requests have left to do. */
async function rest({ server: { pid } }: Contender): Promise<void> {
  await sleep(RESTS.afterMs)
  for (let before = cpuMicros(pid); ; ) {
    await sleep(RESTS.everyMs)
    const now = cpuMicros(pid)
    if (now - before < RESTS.micros) return
    before = now
  }
}

/** Another order each time, since rows that were made one after the other lie side by side. */
function shuffled<T>(values: readonly T[]): T[] {
  const mixed = [...values]
  for (let left = mixed.length; left > 1; ) {
    const at = Math.floor(Math.random() * left--)
    ;[mixed[at], mixed[left]] = [mixed[left] as T, mixed[at] as T]
  }
  return mixed
}

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex')

async function usualOnSqlite(
  folder: string,
  tokens: readonly string[],
  synchronous: 'NORMAL' | 'FULL',
): Promise<Record<string, string>> {
  const path = join(folder, `usual.${synchronous}.db`)
  const database = await connect(path, false)
  database.exec(
    `PRAGMA journal_mode = WAL;
     CREATE TABLE tokens (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, account_id TEXT, last_accessed TEXT);
     BEGIN`,
  )
  const insert = database.prepare('INSERT INTO tokens (hash, account_id) VALUES (?, ?)')
  for (const [i, token] of tokens.entries()) insert.run(hashOf(token), `acct_${i % 1000}`)
  database.exec('COMMIT')
  database.close()
  return { USUAL_DATABASE: path, USUAL_SYNCHRONOUS: synchronous }
}

async function usualOnMongo(server: Mongo, tokens: readonly string[]): Promise<Record<string, string>> {
  const url = server.url('usual')
  const client = new MongoClient(url)
  const rows = tokens.map((token, i) => ({ hash: hashOf(token), accountId: `acct_${i % 1000}` }))
  await client.db().collection('usual').insertMany(rows)
  await client.close()
  return { MONGODB_URL: url }
}
