import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { run } from './load.ts'
import { cpuMicros, freePort, here, median, type Server, startServer } from './processes.ts'
import { JWT_SECRET, seedTokens, TOKEN_PEPPERS } from './seed.ts'

const TURNS = 15
const REQUESTS = 4000
const WARM_UP = 15_000
/** Tokens in use at the same time, spread over all there are: each costs an event and three documents a second. */
const ACTIVE = 10

export interface Row {
  name: string
  micros: number
  /** CPU of bare Koa divided by this one's, turn by turn, the median: 1 is bare Koa's own. */
  ofBare: number
}

/** CPU time per request of the service's `/auth/verify`, of bare Koa, and of a route behind `jsonwebtoken`. */
export async function benchVerify(): Promise<{
  rows: Row[]
  ofJwt: number
  starts: { tokens: number; ms: number }[]
}> {
  const peerPort = await freePort()
  const peers = await startServer(here('./peers.js'), [String(peerPort)], {
    cwd: tmpdir(),
    env: { JWT_SECRET },
    port: peerPort,
    log: '/dev/null',
  })
  const small = await service(1_000)
  const large = await service(100_000)
  const bearer = jwt.sign({ sub: 'acct_1' }, JWT_SECRET, { expiresIn: '1h' })
  const agent = { 'user-agent': 'bench', accept: '*/*' }
  const candidates = [
    {
      name: 'bare Koa + @koa/router',
      server: peers,
      url: `${peers.url}/bare`,
      headers: withToken(['x'.repeat(53)]),
    },
    {
      name: 'behind jsonwebtoken',
      server: peers,
      url: `${peers.url}/jwt`,
      headers: () => ({ ...agent, authorization: `Bearer ${bearer}` }),
    },
    { name: '/auth/verify, 1,000 tokens', ...small, url: `${small.server.url}/auth/verify` },
    { name: '/auth/verify, 100,000 tokens', ...large, url: `${large.server.url}/auth/verify` },
  ]
  function withToken(tokens: readonly string[]) {
    return (n: number) => ({ ...agent, 'x-api-token': tokens[n % tokens.length] as string })
  }

  async function service(count: number) {
    const folder = mkdtempSync(join(tmpdir(), 'tokenledger-bench-'))
    const tokens = await seedTokens(folder, count)
    const port = await freePort()
    const started = performance.now()
    const server = await startServer(here('../../src/main.js'), [], {
      cwd: folder,
      env: {
        PORT: String(port),
        JWT_SECRET,
        TOKEN_PEPPERS,
        EVENT_STORE_URL: `sqlite:${folder}/events.db`,
        READ_MODEL_URL: `sqlite:${folder}/read-model.db`,
      },
      port,
      log: join(folder, 'service.log'),
    })
    return {
      server,
      headers: withToken(tokens.filter((_, i) => i % (count / ACTIVE) === 0)),
      start: { tokens: count, ms: performance.now() - started },
    }
  }

  const measure = async ({ server, url, headers }: (typeof candidates)[number], amount: number) => {
    const before = cpuMicros(server.pid)
    await run({ url, amount, headers })
    return (cpuMicros(server.pid) - before) / amount
  }

  for (const candidate of candidates) await measure(candidate, WARM_UP)
  const turns: number[][] = []
  for (let turn = 0; turn < TURNS; turn++) {
    const costs: number[] = []
    for (const candidate of candidates) costs.push(await measure(candidate, REQUESTS))
    turns.push(costs)
  }
  const servers: Server[] = [peers, small.server, large.server]
  await Promise.all(servers.map((server) => server.stop()))

  const ratio = (a: number, b: number) =>
    median(turns.map((costs) => (costs[a] as number) / (costs[b] as number)))
  return {
    rows: candidates.map(({ name }, i) => ({
      name,
      micros: median(turns.map((costs) => costs[i] as number)),
      ofBare: ratio(0, i),
    })),
    ofJwt: ratio(1, 2),
    starts: [small.start, large.start],
  }
}
