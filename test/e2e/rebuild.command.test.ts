import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import { compareReadModel } from '../../scripts/cli/compareReadModel.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { apiOf } from '../support/callers/api.ts'
import { cli, cliToKill } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type Fleet, startFleet } from '../support/processes/fleet.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'
import { countingTelemetry } from '../support/stores/pieces.ts'
import { whenAvailable } from '../support/stores/patient.ts'
import { patchedService } from '../support/processes/patched.ts'
import {
  endServices,
  type Environment,
  ownFolder,
  type ServiceProcess,
  startService,
} from '../support/processes/service.ts'
import { sweep } from '../support/suite/sweep.ts'
import { startTraffic, type Traffic } from '../support/callers/traffic.ts'

const { log } = countingTelemetry()
const projectionNames = projections.map(({ name }) => name)
const QUICK = { USAGE_FLUSH_MS: '50', MAX_TOKENS_PER_ACCOUNT: '100000' }

/** Every accepted use is counted exactly once. */
async function expectExactCounts(url: string, { uses }: Traffic): Promise<void> {
  await eventually(async () => {
    for (const [id, expected] of uses) {
      const { body } = await apiOf(url).usage(id)
      expect(body.total.requests, id).to.equal(expected)
    }
  })
}

async function expectNoDifference(env: Environment): Promise<void> {
  const settings = readSettings({ JWT_SECRET: SECRET, TOKEN_PEPPERS: PEPPERS, ...env })
  const { documents, differing, differences } = await whenAvailable(() => compareReadModel(settings, { log }))
  expect(documents).to.be.above(10)
  expect({ differing, differences }).to.deep.equal({ differing: 0, differences: [] })
}

describe('the command rebuild, on SQLite', () => {
  let service: ServiceProcess
  afterEach(endServices)

  const data = (name: string): string => join(service.folder, 'data', name)
  const urls = () => ({
    EVENT_STORE_URL: `sqlite:${data('events.db')}`,
    READ_MODEL_URL: `sqlite:${data('read-model.db')}`,
  })

  it('works beside a service with much going on: no answer is wrong, no use is lost', async () => {
    service = await startService(QUICK)
    const traffic = await startTraffic([service.url])
    await sleep(500)
    for (const generation of [2, 3]) {
      const { code, stdout, stderr } = await cli(['rebuild', '--json'], service.folder)
      expect(code, stderr).to.equal(0)
      const { projections: rebuilt, events } = JSON.parse(stdout)
      expect(rebuilt).to.deep.equal(projectionNames)
      expect(events).to.be.above(10)
      await eventually(async () => {
        const files = (await readdir(join(service.folder, 'data'))).filter((name) =>
          /^read-model\.db(\.g\d+)?$/.test(name),
        )
        expect(files).to.deep.equal([`read-model.db.g${generation}`])
      })
      await sleep(300)
    }
    await traffic.stop()
    expect(traffic.wrong).to.deep.equal([])
    expect(traffic.rounds()).to.be.above(4)
    await expectExactCounts(service.url, traffic)
    await expectNoDifference(urls())
    const printed = await cli(['read-model', '--path'], service.folder)
    expect([printed.code, printed.stdout], 'beside the service').to.deep.equal([
      0,
      './data/read-model.db.g3\n',
    ])
    expect(await service.stop()).to.equal(0)
    const left = await readdir(join(service.folder, 'data'))
    for (const name of left) {
      expect(name, 'nothing of the rebuild').not.to.match(/journal|offer|aside|\.new$|\.g2/)
      expect((await stat(data(name))).mode & 0o777, name).to.equal(0o600)
    }

    const restarted = await startService(QUICK, service.folder)
    await expectExactCounts(restarted.url, traffic)
    expect((await cli(['doctor'], restarted.folder)).stdout).to.include('read-model.db.g3')
  })

  it('is seen to give wrong answers where the service does not write to both meanwhile', async () => {
    const command = await patchedService('src/adapters/sqlite/readModel.js', [
      ['if (!step && dualWritten)', 'if (false)'],
      // This service is as slow as one that has to catch up a lot.
      ['await switchTo(next);', 'await new Promise((r) => setTimeout(r, 200)); await switchTo(next);'],
    ])
    service = await startService(QUICK, undefined, command)
    const traffic = await startTraffic([service.url])
    await sleep(300)
    for (let n = 0; n < 15 && traffic.wrong.length === 0; n++) await cli(['rebuild'], service.folder)
    await traffic.stop()
    expect(traffic.wrong).to.not.be.empty
  })

  const kills = sweep('kills', 6, 2)
  it(`that was killed, wherever, is gone on with${kills.note}`, async () => {
    service = await startService(QUICK)
    const traffic = await startTraffic([service.url])
    await sleep(300)
    for (const ms of kills.of([0, 5, 10, 20, 40, 80])) {
      const next = (await readdir(join(service.folder, 'data'))).length
      const kill = cliToKill(['rebuild'], service.folder)
      await eventually(async () =>
        expect((await readdir(join(service.folder, 'data'))).length).to.be.above(next),
      ).catch(() => {})
      await sleep(ms)
      await kill()
    }
    const { code, stderr } = await cli(['rebuild', '--projection', 'tokenUsage'], service.folder)
    expect(code, stderr).to.equal(0)
    await traffic.stop()
    expect(traffic.wrong).to.deep.equal([])
    await expectExactCounts(service.url, traffic)
    await expectNoDifference(urls())
  })

  it('survives a kill of the service at any time, and does without one', async () => {
    service = await startService(QUICK)
    const traffic = await startTraffic([service.url])
    await sleep(300)
    await traffic.stop()
    await expectExactCounts(service.url, traffic)
    const rebuilding = cli(['rebuild'], service.folder)
    await eventually(() => expect(existsSync(data('read-model.db.g2'))).to.equal(true))
    await service.kill()
    const { code, stderr } = await rebuilding
    expect(code, stderr).to.equal(0)
    expect((await cli(['rebuild'], service.folder)).code).to.equal(0)
    const restarted = await startService(QUICK, service.folder)
    await expectExactCounts(restarted.url, traffic)
    await expectNoDifference(urls())
  })

  it('says what there is when the name is wrong, and changes nothing', async () => {
    service = await startService()
    const before = await readdir(join(service.folder, 'data'))
    const { code, stderr } = await cli(['rebuild', '--projection', 'nonsense'], service.folder)
    expect(code).to.equal(2)
    expect(stderr).to.include('tokens, tokenHistory, tokenUsage')
    expect(await readdir(join(service.folder, 'data'))).to.deep.equal(before)
  })

  it('says so where nothing was written yet', async () => {
    const { code, stderr } = await cli(['rebuild'], await ownFolder())
    expect(code).to.equal(3)
    expect(stderr).to.include('no event store yet')
  })
})

describeWithMongod('the command rebuild, on EventStoreDB and MongoDB', () => {
  let fleet: Fleet
  afterEach(() => fleet.close())

  it('lets two services switch at one time: no answer is wrong, no use is lost', async () => {
    fleet = await startFleet(2)
    const [one, two] = fleet.members
    if (!one || !two) throw new Error('two members')
    const env = fleet.stores
    const traffic = await startTraffic([one.api.url, two.api.url], { isPatient: true })
    await sleep(500)
    const kill = cliToKill(['rebuild'], one.service.folder, env)
    await sleep(3_000)
    await kill()
    // Wait until the lease of the killed process has ended.
    await sleep(5_500)
    const { code, stderr } = await eventually(async () => {
      const ended = await cli(['rebuild'], one.service.folder, env)
      // On a busy machine MongoDB may not answer in time. Then the command is run again, and resumes.
      if (/^MongoDB (cannot be reached|did not answer)/.test(ended.stderr)) throw new Error(ended.stderr)
      return ended
    })
    expect(code, stderr).to.equal(0)
    await sleep(1_000)
    await traffic.stop()
    expect(traffic.wrong).to.deep.equal([])
    expect(traffic.rounds()).to.be.above(4)
    for (const { api } of [one, two]) await expectExactCounts(api.url, traffic)
    await expectNoDifference(env)
  })
})
