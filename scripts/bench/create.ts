import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { run } from './load.ts'
import { ownFolder } from './ownFolder.ts'
import { freePort, here, median, startServer } from './processes.ts'
import { JWT_SECRET, TOKEN_PEPPERS } from './seed.ts'

const TURNS = 7
const REQUESTS = 1500
const CLIENTS = 50
const ACCOUNTS = 50
const BODY = JSON.stringify({ name: 'bench', scopes: ['orders:read'] })

/** The throughput of creations by 50 clients, compared with a bare Koa route that parses the same body. */
export async function benchCreate(): Promise<{ bare: number; create: number; ofBare: number }> {
  const peerPort = await freePort()
  const peers = await startServer(here('./peers.js'), [String(peerPort)], {
    cwd: tmpdir(),
    env: { JWT_SECRET },
    port: peerPort,
    log: '/dev/null',
  })
  const folder = ownFolder()
  const port = await freePort()
  const service = await startServer(here('../../src/main.js'), [], {
    cwd: folder,
    env: {
      PORT: String(port),
      JWT_SECRET,
      TOKEN_PEPPERS,
      EVENT_STORE_URL: `sqlite:${folder}/events.db`,
      READ_MODEL_URL: `sqlite:${folder}/read-model.db`,
      RATE_LIMIT_WRITES_PER_MINUTE: '0',
      MAX_TOKENS_PER_ACCOUNT: '1000000',
    },
    port,
    log: join(folder, 'service.log'),
  })
  const bearers = Array.from({ length: ACCOUNTS }, (_, i) =>
    jwt.sign({ sub: `acct_${i}` }, JWT_SECRET, { expiresIn: '1h' }),
  )
  const send = (url: string) =>
    run({
      url,
      method: 'POST',
      connections: CLIENTS,
      amount: REQUESTS,
      body: BODY,
      headers: (n) => ({
        authorization: `Bearer ${bearers[n % ACCOUNTS]}`,
        'content-type': 'application/json',
      }),
    })
  const urls = [`${peers.url}/parse`, `${service.url}/settings/api-tokens`] as const
  for (const url of urls) await send(url)
  const turns: [number, number][] = []
  for (let turn = 0; turn < TURNS; turn++) turns.push([await send(urls[0]), await send(urls[1])])
  await Promise.all([peers.stop(), service.stop()])
  return {
    bare: median(turns.map(([bare]) => bare)),
    create: median(turns.map(([, create]) => create)),
    ofBare: median(turns.map(([bare, create]) => create / bare)),
  }
}
