import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { apiOf } from '../support/callers/api.ts'
import { cli, type CliResult } from '../support/processes/cli.ts'
import { untilServed } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { fileOfRows, oldRow } from '../support/events/oldTable.ts'
import { endServices, ownFolder, type ServiceProcess, startService } from '../support/processes/service.ts'
import { type StandIn, startStandIn } from '../support/standIn/standIn.ts'

const ROWS = 1_500
/** Longer than an import may rely on its lease. */
const LONG_MS = 9_000

const eventsIn = ({ log }: StandIn, type: string) => log.all().filter((event) => event.type === type)
const productEvents = ({ log }: StandIn) => log.all().filter(({ stream }) => !stream.startsWith('$'))

async function outage(standIn: StandIn, ms: number): Promise<void> {
  await standIn.kill()
  await sleep(ms)
  await standIn.restart()
}

/** Waits until so many events are there, or the command has ended. */
async function atLeast(count: () => number, many: number, running: Promise<CliResult>): Promise<void> {
  let ended = false
  void running.then(() => (ended = true))
  await eventually(() => expect(ended || count() >= many).to.equal(true))
  expect(ended, 'it ended before its store went away').to.equal(false)
}

describe('An EventStoreDB that is killed and started again in the middle', () => {
  let standIn: StandIn
  let folder: string
  let env: Record<string, string>

  before(async () => {
    standIn = await startStandIn()
    folder = await ownFolder()
    env = { EVENT_STORE_URL: standIn.url }
    const rows = Array.from({ length: ROWS }, (_, i) => oldRow(i + 1, { account_id: `acct_${i % 7}` }))
    await writeFile(join(folder, 'rows.ndjson'), fileOfRows(rows))
  })
  after(async () => {
    await standIn.kill()
    await endServices()
  })

  it('costs import-tokens nothing but time', async () => {
    standIn.slow(20)
    const running = cli(['import-tokens', 'rows.ndjson', '--json'], folder, env)
    const imported = (): number => eventsIn(standIn, 'TokenImported').length
    await atLeast(imported, 300, running)
    await outage(standIn, 500)
    await atLeast(imported, 800, running)
    await outage(standIn, LONG_MS)
    const { code, stdout, stderr } = await running
    expect(code, stderr).to.equal(0)
    expect(JSON.parse(stdout)).to.include({ ok: true, rows: ROWS, imported: ROWS })
    const streams = eventsIn(standIn, 'TokenImported').map(({ stream }) => stream)
    expect([streams.length, new Set(streams).size]).to.deep.equal([ROWS, ROWS])
    expect(stderr).to.match(/Waiting for the event store, nothing is lost/)
    expect(stderr).to.not.match(/ at .*\.js:\d/)
  })

  it('costs import nothing but time, and neither does one that stands still', async () => {
    standIn.slow(0)
    const exported = await cli(['export', '--out', 'events.ndjson'], folder, env)
    expect(exported.code, exported.stderr).to.equal(0)
    const to = await startStandIn()
    to.slow(5)
    const running = cli(['import', 'events.ndjson', '--json'], folder, { EVENT_STORE_URL: to.url })
    const written = (): number => productEvents(to).length
    await atLeast(written, 200, running)
    await outage(to, 1_000)
    await atLeast(written, 500, running)
    to.freeze()
    await sleep(LONG_MS)
    to.thaw()
    const { code, stdout, stderr } = await running
    expect(code, stderr).to.equal(0)
    expect(JSON.parse(stdout)).to.include({ ok: true })
    expect(productEvents(to).map(({ id }) => id)).to.deep.equal(productEvents(standIn).map(({ id }) => id))
    await to.kill()
  })
})

describe('An EventStoreDB that is always slow', () => {
  let standIn: StandIn
  let service: ServiceProcess

  beforeEach(async () => {
    standIn = await startStandIn()
  })
  afterEach(async () => {
    await endServices()
    await standIn.kill()
  })

  it('takes changes all the same', async () => {
    service = await startService({
      EVENT_STORE_URL: standIn.url,
      EVENT_STORE_SHARED: 'false',
      USAGE_RETENTION_DAYS: '30',
      USAGE_FLUSH_MS: '50',
    })
    standIn.slow(1_800)
    const api = apiOf(service.url)
    const created = await untilServed(() => api.create({ name: 'slow' }))
    expect(created.status).to.equal(201)
    expect(await api.use(created.body.token)).to.equal(200)
    const { id } = created.body
    expect((await untilServed(() => api.patch(id, { name: 'slower' }))).status).to.equal(200)
    expect((await untilServed(() => api.revoke(id))).status).to.equal(204)
    expect(await api.use(created.body.token)).to.equal(401)
    await eventually(() => expect(eventsIn(standIn, 'TokensUsed')).to.have.length(1))
  })

  it('takes changes all the same where other processes may write to it, too', async () => {
    service = await startService({ EVENT_STORE_URL: standIn.url })
    standIn.slow(1_800)
    const api = apiOf(service.url)
    const created = await untilServed(() => api.create({ name: 'slow' }))
    expect(created.status).to.equal(201)
    const { id } = created.body
    expect((await untilServed(() => api.patch(id, { name: 'slower' }))).status).to.equal(200)
    expect((await untilServed(() => api.read(id))).body).to.include({ name: 'slower' })
    expect((await untilServed(() => api.list())).body.data).to.have.length(1)
    expect((await untilServed(() => api.revoke(id))).status).to.equal(204)
  })

  it('is given up after EVENT_STORE_TIMEOUT_MS, and the change can be repeated', async () => {
    service = await startService({
      EVENT_STORE_URL: standIn.url,
      EVENT_STORE_SHARED: 'false',
      EVENT_STORE_TIMEOUT_MS: '1000',
    })
    standIn.slow(1_800)
    const api = apiOf(service.url)
    const create = () => api.create({ name: 'slow' }, { 'Idempotency-Key': 'one' })
    expect((await create()).status).to.equal(503)
    standIn.slow(0)
    await eventually(async () => expect((await create()).status).to.be.oneOf([200, 201]))
    expect(eventsIn(standIn, 'TokenCreated')).to.have.length(1)
  })
})
