import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import { openEventStore, openReadModel } from '../../src/stores/open.ts'
import { fileOfRows, oldRow } from '../support/events/oldTable.ts'
import { apiOf, type CreatedToken } from '../support/callers/api.ts'
import { cli } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { endServices, type Environment, ownFolder, startService } from '../support/processes/service.ts'

/** Runs the command on the data of a service that was used, and on a read model that somebody has changed by hand. */
function verifies(env: Environment, urlIn: (folder: string) => string): void {
  let folder: string
  let token: CreatedToken

  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await cli([...args, '--json'], folder, env)
    if (stdout === '') throw new Error(`ended with ${code}: ${stderr}`)
    return { code, said: JSON.parse(stdout) }
  }

  before(async () => {
    folder = await ownFolder()
    const service = await startService({ USAGE_FLUSH_MS: '20', ...env }, folder)
    const api = apiOf(service.url)
    token = (await api.create({ name: 'CI' })).body
    expect(await api.use(token.token)).to.equal(200)
    await eventually(async () => expect((await api.usage(token.id)).body.total.requests).to.equal(1))
    expect(await run('verify'), 'beside the service').to.have.property('code', 0)
    await service.stop()
  })
  after(endServices)

  it('finds nothing where there is nothing', async () => {
    const { code, said } = await run('verify')
    expect(code).to.equal(0)
    expect(said).to.include({ ok: true, differing: 0 })
    expect(said.documents).to.be.at.least(5)
  })

  it('does not fill it from a log that it is ahead of', async () => {
    const eventStoreUrl = `sqlite:${folder}/reset.db`
    await (
      await openEventStore({ eventStoreUrl, usageRetentionDays: null, eventStoreTimeoutMs: 10_000 })
    ).close()
    const { code, stderr } = await cli(['rebuild'], folder, { ...env, EVENT_STORE_URL: eventStoreUrl })
    expect(code).to.equal(3)
    expect(stderr).to.contain('ahead of the event store')
  })

  it('says what differs, and a rebuild puts it right', async () => {
    const model = await openReadModel({ readModelUrl: urlIn(folder) })
    await model.open(projections)
    const fields = { name: 'Mallory', revokedAt: '2026-01-01T00:00:00.000Z' }
    await model.apply([{ kind: 'put', collection: 'tokens', id: token.id, revision: 99, fields }])
    await model.close()
    const { code, said } = await run('verify')
    expect(code).to.equal(1)
    expect(said).to.include({ ok: false, differing: 1 })
    expect(said.differences).to.deep.include({
      collection: 'tokens',
      id: token.id,
      field: 'name',
      expected: 'CI',
      found: 'Mallory',
    })
    const text = await cli(['verify'], folder, env)
    expect(text.stdout).to.contain('found "Mallory"').and.to.contain('1 of')
    await run('rebuild')
    expect((await run('verify')).said).to.include({ ok: true })
    const service = await startService(env, folder)
    expect(await apiOf(service.url).use(token.token)).to.equal(200)
    await service.stop()
  })
}

/** Leaves a log of two events that no service has projected. */
async function importWhileStopped(folder: string): Promise<void> {
  await writeFile(join(folder, 'old.ndjson'), fileOfRows([oldRow(1), oldRow(2)]))
  const { code, stderr } = await cli(['import-tokens', 'old.ndjson'], folder, LEGACY)
  expect(code, stderr).to.equal(0)
}
const LEGACY = { ACCEPT_LEGACY_TOKENS: 'true' }

describe('tokenledger verify, of a read model that is behind the log', () => {
  afterEach(endServices)

  it('says how far it has compared, and how many events were left out', async () => {
    const folder = await ownFolder()
    const service = await startService(LEGACY, folder)
    await apiOf(service.url).create({ name: 'CI' })
    await service.stop()
    const whole = await cli(['verify'], folder, LEGACY)
    expect(whole.stdout).to.match(/^\d+ documents compared, up to position \d+: the read model is what/)
    const position = /position (\d+)/.exec(whole.stdout)?.[1]
    await importWhileStopped(folder)
    const { code, stdout } = await cli(['verify'], folder, LEGACY)
    expect(code).to.equal(0)
    expect(stdout).to.contain(`at ${position}, 2 events behind: `).and.contain('were not compared')
    expect(stdout).not.to.contain('the read model is what the events say')
    const { projections: all } = JSON.parse((await cli(['verify', '--json'], folder, LEGACY)).stdout)
    for (const one of all) expect(one).to.include({ checkpoint: position, lag_events: 2 })
  })

  it('ends with 3 where no event is in the read model', async () => {
    const folder = await ownFolder()
    await importWhileStopped(folder)
    const model = await openReadModel({ readModelUrl: `sqlite:${folder}/data/read-model.db` })
    await model.open(projections)
    await model.close()
    const { code, stdout } = await cli(['verify'], folder, LEGACY)
    expect(code).to.equal(3)
    expect(stdout).to.contain('nothing projected yet, 2 events behind').and.contain('Nothing was compared')
    expect(stdout).not.to.contain('is what')
    const asJson = await cli(['verify', '--json'], folder, LEGACY)
    expect(asJson.code).to.equal(3)
    expect(JSON.parse(asJson.stdout)).to.include({ ok: false, documents: 0 })
  })
})

describe('tokenledger verify on SQLite', () => {
  verifies({}, (folder) => `sqlite:${folder}/data/read-model.db`)
})

describeWithMongod('tokenledger verify on MongoDB', () => {
  let mongod: Mongod
  const env: Environment = {}
  before(async () => {
    mongod = await startMongod({ set: 'rs0' })
    env.READ_MODEL_URL = mongod.url('verified')
  })
  verifies(env, () => env.READ_MODEL_URL ?? '')
  after(() => mongod.stop())
})
