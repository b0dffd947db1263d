import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { ROLLUP_STREAM, USAGE_STREAM } from '../../src/domain/streams.ts'
import type { StoredEvent } from '../../src/domain/events.ts'
import { apiOf } from '../support/callers/api.ts'
import { cli } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { endServices, ownFolder, startService, type ServiceProcess } from '../support/processes/service.ts'
import { FIRST_DAY, liveFirstDays } from '../support/events/usageLife.ts'

const RETENTION = { USAGE_RETENTION_DAYS: '7' }
const DAYS = 5
const RANGE = `from=${new Date(FIRST_DAY).toISOString()}&to=2100-01-01T00:00:00Z`

describe('A service with USAGE_RETENTION_DAYS', () => {
  let folder: string

  beforeEach(async () => {
    folder = await ownFolder()
    const store = await openSqliteEventStore(join(folder, 'data/events.db'))
    await liveFirstDays(store, DAYS)
    await store.close()
  })

  afterEach(endServices)

  async function usageOf({ url }: ServiceProcess): Promise<unknown[]> {
    const seen: unknown[] = []
    for (const account of ['acct_1', 'acct_2']) {
      const api = apiOf(url, account)
      seen.push((await api.list()).body)
      for (const granularity of ['hour', 'day']) {
        const path = `/settings/api-tokens/usage?${RANGE}&granularity=${granularity}`
        const { status, body } = await api.call('GET', path)
        expect(status).to.equal(200)
        seen.push(body)
      }
    }
    return seen
  }

  async function logOf(): Promise<StoredEvent[]> {
    const store = await openSqliteEventStore(join(folder, 'data/events.db'), { readOnly: true })
    const all: StoredEvent[] = []
    for await (const batch of store.readAll(null)) all.push(...batch)
    await store.close()
    return all
  }

  const count = (log: readonly StoredEvent[], prefix: string): number =>
    log.filter(({ stream }) => stream.startsWith(prefix)).length

  async function removeReadModel(): Promise<void> {
    for (const name of await readdir(join(folder, 'data'))) {
      if (name.startsWith('read-model')) await rm(join(folder, 'data', name))
    }
  }

  it('drops old usage by itself, and shows the same of it ever after', async () => {
    const keeping = await startService({}, folder)
    const before = await usageOf(keeping)
    await keeping.stop()
    await writeFile(join(folder, 'checkpoint.json'), (await cli(['checkpoint'], folder)).stdout)
    expect(count(await logOf(), USAGE_STREAM)).to.be.greaterThan(10)
    expect(count(await logOf(), ROLLUP_STREAM)).to.equal(0)

    const dropping = await startService(RETENTION, folder)
    await eventually(async () => expect(count(await logOf(), USAGE_STREAM)).to.equal(0))
    expect(await usageOf(dropping)).to.deep.equal(before)
    const { body: metrics } = await apiOf(dropping.url).call<string>('GET', '/metrics')
    expect(metrics).to.match(/^tokenledger_usage_days_overdue 0$/m)
    expect(await dropping.stop()).to.equal(0)
    const held = await cli(['verify', '--against', 'checkpoint.json'], folder, RETENTION)
    expect(held.stdout).to.contain('No link is broken.')
    expect(held.code).to.equal(0)

    await removeReadModel()
    const rebuilt = await startService(RETENTION, folder)
    expect(await usageOf(rebuilt)).to.deep.equal(before)
    await rebuilt.stop()

    const exported = await cli(['export', '--out', 'events.ndjson', '--json'], folder)
    expect([exported.code, exported.stderr]).to.deep.equal([0, ''])
    expect(JSON.parse(exported.stdout)).to.deep.include({ shortened: [], left_out: 0 })
    const other = { EVENT_STORE_URL: 'sqlite:other.db', READ_MODEL_URL: 'sqlite:other-model.db' }
    expect((await cli(['import', 'events.ndjson'], folder, other)).code).to.equal(0)
    expect(await usageOf(await startService(other, folder))).to.deep.equal(before)
  })

  it('goes on sweeping after a kill, wherever that was', async () => {
    const keeping = await startService({}, folder)
    const before = await usageOf(keeping)
    await keeping.stop()
    const all = count(await logOf(), USAGE_STREAM)
    const killed = await startService(RETENTION, folder)
    await eventually(async () => expect(count(await logOf(), USAGE_STREAM)).to.be.lessThan(all))
    await killed.kill()
    await removeReadModel()

    const exported = await cli(['export', '--out', 'events.ndjson', '--json'], folder)
    expect([exported.code, JSON.parse(exported.stdout).shortened]).to.deep.equal([0, []])
    const next = await startService(RETENTION, folder)
    expect(await usageOf(next)).to.deep.equal(before)
    await eventually(async () => expect(count(await logOf(), USAGE_STREAM)).to.equal(0))
    expect(await usageOf(next)).to.deep.equal(before)
    expect(next.output()).to.not.contain('refused')
  })
})
