import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sizeOf as sizeOfFile } from '../../src/adapters/sqlite/database/inspect.ts'
import { run } from './load.ts'
import { ownFolder } from './ownFolder.ts'
import { cpuMicros, freePort, here, type Server, startServer } from './processes.ts'
import { JWT_SECRET, seedTokens, TOKEN_PEPPERS } from './seed.ts'
import { inFolder } from './stores.ts'

/** A service with so many tokens. Sizes are in MiB. */
export interface Size {
  tokens: number
  eventsMiB: number
  readModelMiB: number
  /** Until it answered, in seconds. */
  start: number
  residentMiB: number
  uses: Uses[]
}

export interface Uses {
  /** `hot`: ten tokens. `spread`: each time another one. */
  pattern: 'hot' | 'spread'
  /** Uses per second that were asked for, and that were answered. */
  wanted: number
  perSecond: number
  /** Processor cores in use meanwhile, what a use causes after its answer included. */
  cores: number
  residentMiB: number
}

const TOKENS = [100, 10_000, 100_000]
const RATES = [10, 1_000, 10_000]
const SECONDS = 8
const HOT = 10
const MIB = 2 ** 20

/** What the service takes with few and many tokens, which are used seldom and often, few of them and all of them. */
export async function benchSizes(): Promise<Size[]> {
  const sizes: Size[] = []
  for (const tokens of TOKENS) sizes.push(await sizeOf(tokens))
  return sizes
}

async function sizeOf(count: number): Promise<Size> {
  const folder = ownFolder()
  const tokens = await seedTokens(folder, count)
  const port = await freePort()
  const started = performance.now()
  const server = await startServer(here('../../src/main.js'), [], {
    cwd: folder,
    env: { PORT: String(port), JWT_SECRET, TOKEN_PEPPERS, ...inFolder(folder) },
    port,
    log: join(folder, 'service.log'),
  })
  const start = (performance.now() - started) / 1_000
  await sleep(2_000)
  const residentMiB = residentOf(server)
  const uses: Uses[] = []
  for (const pattern of ['hot', 'spread'] as const)
    for (const wanted of RATES) uses.push(await useAt(server, tokens, pattern, wanted))
  await server.stop()
  // After a stop there is no write-ahead log.
  const mibOf = (name: string) => sizeOfFile(join(folder, name)).bytes / MIB
  return {
    tokens: count,
    eventsMiB: mibOf('events.db'),
    readModelMiB: mibOf('read-model.db'),
    start,
    residentMiB,
    uses,
  }
}

async function useAt(
  server: Server,
  tokens: readonly string[],
  pattern: Uses['pattern'],
  wanted: number,
): Promise<Uses> {
  // A step that has no factor in common with the number of tokens comes to each of them before any comes again.
  const at = (n: number) => (pattern === 'hot' ? n % HOT : (n * 7_919) % tokens.length)
  const headers = (n: number) => ({ 'user-agent': 'bench', 'x-api-token': tokens[at(n)] as string })
  const [before, started] = [cpuMicros(server.pid), performance.now()]
  const connections = Math.min(HOT, wanted)
  const amount = wanted * SECONDS
  const perSecond = await run({
    url: `${server.url}/auth/verify`,
    amount,
    rate: wanted,
    connections,
    headers,
  })
  const seconds = amount / perSecond
  // What was used last is stored a second later.
  await sleep(Math.max(0, (seconds + 2) * 1_000 - (performance.now() - started)))
  const cores = (cpuMicros(server.pid) - before) / (seconds * 1e6)
  return { pattern, wanted, perSecond, cores, residentMiB: residentOf(server) }
}

const residentOf = ({ pid }: Server): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
