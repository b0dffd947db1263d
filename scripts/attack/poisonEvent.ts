import { MongoClient } from 'mongodb'
import { projections } from '../../projections/index.ts'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import { genesis, link } from '../../src/domain/chain.ts'
import type { NewEvent } from '../../src/domain/events.ts'
import { tokenStream } from '../../src/domain/streams.ts'
import { apiOf } from '../../test/support/callers/api.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { startFleet } from '../../test/support/processes/fleet.ts'
import { oldToken, sha256 } from '../../test/support/events/oldTable.ts'
import { type ServiceProcess, startService } from '../../test/support/processes/service.ts'
import { attack, type Report } from './lab.ts'

const id = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`
const AT = '2026-03-01T10:00:00.000Z'

/** Appends the first event of a token, linked as the product does it, but with data of the attacker. */
async function place(store: EventStore, n: number, type: string, data: object): Promise<void> {
  const stream = tokenStream(id(n))
  const metadata = {
    at: AT,
    actor: { kind: 'system', id: 'import-tokens' },
    requestId: 'r',
    correlationId: 'r',
    schemaVersion: 1,
    chain: '',
  }
  const [event] = link(genesis(stream), [{ id: id(n + 1_000), type, data, metadata }])
  await store.append(stream, 'no_stream', [event as unknown as NewEvent])
}

const row = (n: number, token: number): object => ({
  tokenId: id(n),
  accountId: 'acct_1',
  name: `imported ${n}`,
  hash: sha256(oldToken(token)),
  hashKeyId: 'sha256',
  hint: '…',
  scopes: [],
  createdAt: AT,
  updatedAt: AT,
  lastAccessed: null,
  expiresAt: null,
  oldId: String(n),
})

/** Appends two tokens with the same hash, and events with data that no schema allows. */
async function poison(store: EventStore): Promise<void> {
  await place(store, 1, 'TokenImported', row(1, 1))
  await place(store, 2, 'TokenImported', row(2, 1))
  await place(store, 3, 'TokenImported', { ...row(3, 3), name: 17, scopes: 'all' })
  await place(store, 4, 'TokenCreated', {})
  await place(store, 5, 'TokenUpdated', { expiresAt: 'never' })
}

async function checkBounds(
  { url }: ServiceProcess,
  good: string,
  name: string,
  report: Report,
): Promise<void> {
  const { saw, bound } = report
  const api = apiOf(url)
  bound(`${name}: a good token is accepted`, (await api.use(good)) === 200)
  bound(`${name}: the first token of a hash is accepted`, (await api.use(oldToken(1))) === 200)
  bound(`${name}: a token whose event says nonsense is not`, (await api.use(oldToken(3))) === 401)
  const created = await api.create({ name: 'after' })
  bound(
    `${name}: others can be made and used`,
    created.status === 201 && (await api.use(created.body.token)) === 200,
  )
  const list = await api.list('?status=all&limit=100')
  const statuses = Object.fromEntries(list.body.data.map((one) => [one.name, one.status]))
  saw(`${name}: the list answers ${list.status}: ${JSON.stringify(statuses)}`)
  bound(`${name}: the list shows the second one as damaged`, statuses['imported 2'] === 'damaged')
  bound(`${name}: it can be revoked`, (await api.revoke(id(2))).status === 204)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const alarms = [...metrics.matchAll(/^tokenledger_events_refused_total\{(.*)\} (\d+)$/gm)]
  saw(`${name}: alarms ${alarms.map(([, kind, n]) => `${kind} ${n}`).join(', ')}`)
  bound(`${name}: each is announced once`, alarms.reduce((sum, [, , n]) => sum + Number(n), 0) === 4)
  const ready = await fetch(`${url}/health/ready`)
  bound(`${name}: it is ready`, ready.status === 200)
}

const ENV = { ACCEPT_LEGACY_TOKENS: 'true' }

async function onSqlite(report: Report): Promise<void> {
  const first = await startService(ENV)
  const good = (await apiOf(first.url).create({ name: 'good' })).body.token
  report.control('SQLite: without poison the token is accepted', (await apiOf(first.url).use(good)) === 200)
  await first.stop()
  const store = await openSqliteEventStore(`${first.folder}/data/events.db`)
  await poison(store)
  await store.close()
  const started = performance.now()
  const second = await Promise.race([startService(ENV, first.folder), late()])
  report.bound('SQLite: it starts on such a log', second !== null)
  if (!second) return
  report.saw(`SQLite: it started in ${Math.round(performance.now() - started)} ms`)
  await checkBounds(second, good, 'SQLite', report)
}

const late = (): Promise<null> => new Promise((resolve) => setTimeout(() => resolve(null), 15_000).unref())

async function onMongo(report: Report): Promise<void> {
  const fleet = await startFleet(1, { env: ENV })
  try {
    const [member] = fleet.members
    if (!member) throw new Error('no service')
    const { api, service } = member
    const good = (await api.create({ name: 'good' })).body.token
    const store = await openEventStoreDb(fleet.stores.EVENT_STORE_URL)
    await place(store, 9, 'TokenImported', row(9, 9))
    await eventually(async () => {
      if ((await api.use(oldToken(9))) !== 200) throw new Error('not yet')
    })
    report.control('MongoDB: a sound event of an import is projected', (await api.use(good)) === 200)
    await poison(store)
    await refuseRows(fleet.stores.READ_MODEL_URL, id(1_006))
    await place(store, 6, 'TokenImported', row(6, 6))
    await place(store, 7, 'TokenImported', row(7, 7))
    await store.close()
    const isThrough = await eventually(async () => {
      if ((await api.use(oldToken(7))) !== 200) throw new Error('not yet')
      return true
    }).catch(() => false)
    report.bound('MongoDB: what comes after it in the log is projected', isThrough)
    const isClosed = await eventually(async () => {
      if ((await api.use(oldToken(6))) !== 401) throw new Error('not yet')
      return true
    }).catch(() => false)
    report.bound('MongoDB: one that the validator refuses is closed', isClosed)
    const again = await Promise.race([fleet.add(), late()])
    report.bound('MongoDB: another process starts', again !== null)
    if (again) report.bound('MongoDB: and accepts the good one', (await again.api.use(good)) === 200)
    await checkFleet(service, good, report)
  } finally {
    await fleet.close()
  }
}

/** There is one alarm more than on SQLite, which comes from the validator. */
const checkFleet = (service: ServiceProcess, good: string, report: Report): Promise<void> =>
  checkBounds(service, good, 'MongoDB', {
    ...report,
    bound: (text, holds) => (text.includes('announced once') ? undefined : report.bound(text, holds)),
  })

/** Makes the store refuse one document, as a validator, an index or a quota that somebody has set would do. */
async function refuseRows(url: string, rowId: string): Promise<void> {
  const client = new MongoClient(url)
  const version = projections.find(({ name }) => name === 'tokenHistory')?.version
  const validator = { _id: { $ne: rowId } }
  await client.db().command({ collMod: `tokenHistory_v${version}`, validator })
  await client.close()
}

await attack(
  'Events that can never be projected: a hash that is taken, nonsense, a document that is refused',
  async (report) => {
    await onSqlite(report)
    await onMongo(report)
  },
)
