import { fork } from 'node:child_process'
import { projections } from '../../projections/index.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import { iso } from '../../src/application/ports/clock.ts'
import { createProjector } from '../../src/application/projection/projector.ts'
import { genesis, link, storedChain } from '../../src/domain/chain.ts'
import type { NewEvent } from '../../src/domain/events.ts'
import { usageStream } from '../../src/domain/streams.ts'
import { versions } from '../../src/domain/upcast.ts'
import { FIRST_SECRET, type UsageEntry } from '../../src/domain/usageEntries.ts'
import { DAY_MS } from '../../src/domain/time.ts'
import { ownFolder } from './ownFolder.ts'
import { here } from './processes.ts'
import { telemetry } from './seed.ts'

export interface Projected {
  uses: number
  perSecond: number
  /** The largest resident set that was seen, in MiB. */
  peakMiB: number
}

export const USES = 1_000_000
const TOKENS = 10_000
const DAYS = 30
/** As many entries as the service puts into one event. */
const PER_EVENT = 100
const START = Date.UTC(2026, 0, 1)

/** Projects a log of 1,000,000 uses, of 10,000 tokens and 30 days, in a process of its own. */
export async function benchProjection(): Promise<Projected> {
  const folder = ownFolder()
  await writeUsage(folder)
  return new Promise((resolve, reject) => {
    const child = fork(here('./projection.js'), [folder])
    child.once('message', (message) => resolve(message as Projected))
    child.once('exit', (code) => reject(new Error(`the projection ended with ${code}`)))
  })
}

export async function writeUsage(folder: string): Promise<void> {
  const store = await openSqliteEventStore(`${folder}/events.db`)
  const tokens = Array.from({ length: TOKENS }, () => ids.random())
  let tail = { stream: '', revision: -1, chain: '' }
  for (let n = 0; n < USES; n += PER_EVENT) {
    const at = iso(START + Math.floor((n / USES) * DAYS * DAY_MS))
    const stream = usageStream('bench', at)
    if (tail.stream !== stream) tail = { stream, revision: -1, chain: genesis(stream) }
    const entries = Array.from({ length: PER_EVENT }, (_, i) => entry(tokens[(n + i) % TOKENS] as string, at))
    const events = link(tail.chain, [used(entries, at)])
    const { revision } = await store.append(stream, tail.revision < 0 ? 'no_stream' : tail.revision, events)
    tail = { stream, revision, chain: storedChain(events.at(-1) as NewEvent) }
  }
  await store.close()
}

export const entry = (tokenId: string, at: string): UsageEntry => ({
  tokenId,
  accountId: 'acct_1',
  count: 3,
  firstAt: at,
  lastAt: at,
  outcomes: { '2xx': 2, '4xx': 1 },
  routes: [
    { method: 'GET', route: '/orders/:id', count: 2, outcomes: { '2xx': 2 } },
    { method: 'POST', route: '/orders', count: 1, outcomes: { '4xx': 1 } },
  ],
  tokenRevision: 0,
  secret: FIRST_SECRET,
  lastIp: '127.0.0.1',
  lastUserAgent: 'bench',
})

export function used(entries: UsageEntry[], at: string): NewEvent {
  const id = ids.random()
  return {
    id,
    type: 'TokensUsed',
    data: { entries },
    metadata: {
      at,
      actor: { kind: 'system', id: 'bench' },
      requestId: id,
      correlationId: id,
      schemaVersion: versions.TokensUsed.current,
      chain: '',
    },
  }
}

async function project(folder: string): Promise<Projected> {
  const store = await openSqliteEventStore(`${folder}/events.db`)
  const readModel = await openSqliteReadModel(`${folder}/read-model.db`)
  let peak = 0
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 20)
  const projector = createProjector({
    store,
    readModel,
    projections,
    telemetry,
    id: 'bench',
    onChanged: () => {},
  })
  const started = performance.now()
  await projector.start()
  const seconds = (performance.now() - started) / 1000
  clearInterval(watch)
  await projector.stop()
  await Promise.all([store.close(), readModel.close()])
  return { uses: USES, perSecond: USES / seconds, peakMiB: peak / 2 ** 20 }
}

if (process.send && process.argv[2]) process.send(await project(process.argv[2]))
