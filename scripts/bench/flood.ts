import { join } from 'node:path'
import { floods, flooded, goodTokens } from '../../test/support/callers/flooded.ts'
import { PEPPERS, SECRET } from '../../test/support/processes/ledger.ts'
import { ownFolder } from './ownFolder.ts'
import { cpuMicros, freePort, here, startServer } from './processes.ts'
import { inFolder, mongo } from './stores.ts'

export interface Flooded {
  name: string
  /** Milliseconds within which 99 % of the requests with good tokens were answered. */
  p99: number
  /** Answers to the flood per second, and the CPU time that one of them cost the service. */
  perSecond: number
  micros: number
  lookUps: number
  /** How many requests with good tokens had an answer other than 200. */
  wrong: number
}

const FLOOD_MS = 10_000

/**
 * How long requests with good tokens take while 1,500 connections send random tokens. The service logs to a file, as it
 * usually does. For comparison it is also measured without a flood, and beside a flood that needs no store.
 */
export async function benchFlood(readModel: 'sqlite' | 'mongodb'): Promise<Flooded[]> {
  const server = readModel === 'mongodb' ? await mongo() : null
  const folder = ownFolder()
  const port = await freePort()
  const service = await startServer(here('../../src/main.js'), [], {
    cwd: folder,
    env: {
      PORT: String(port),
      JWT_SECRET: SECRET,
      TOKEN_PEPPERS: PEPPERS,
      TRUST_PROXY_HOPS: '1',
      RATE_LIMIT_WRITES_PER_MINUTE: '0',
      MAX_TOKENS_PER_ACCOUNT: '100000',
      ...inFolder(folder),
      ...(server ? { READ_MODEL_URL: server.url('flood') } : {}),
    },
    port,
    log: join(folder, 'service.log'),
  })
  try {
    const tokens = await goodTokens(service.url, 100)
    const rows: Flooded[] = []
    for (const [name, requests] of [
      ['none', null],
      ['/health/live', floods.harmless],
      ['random tokens, one address', floods.oneAddress],
      ['random tokens, many addresses', floods.manyAddresses],
    ] as const) {
      const before = cpuMicros(service.pid)
      const started = performance.now()
      const { p99, perSecond, wrong, lookUps } = await flooded(service.url, tokens, requests, FLOOD_MS)
      const answers = (perSecond * (performance.now() - started)) / 1000
      const micros = (cpuMicros(service.pid) - before) / answers
      rows.push({
        name,
        p99,
        perSecond,
        micros,
        lookUps,
        wrong: [...wrong.values()].reduce((sum, n) => sum + n, 0),
      })
    }
    return rows
  } finally {
    await service.stop()
    await server?.stop()
  }
}
