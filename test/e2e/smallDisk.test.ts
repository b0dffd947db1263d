import { existsSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { type Api, apiOf } from '../support/callers/api.ts'
import { cli } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { historyOn } from '../support/events/history.ts'
import { describeWithMounts } from '../support/suite/needs.ts'
import { endServices, type ServiceProcess, startService } from '../support/processes/service.ts'
import { endSmallDisks, type SmallDisk, smallDisk } from '../support/stores/smallDisk.ts'

const MIB = 1024 * 1024

/** Writes until nothing more can be written. Files have some room inside, so the first writes may succeed. */
async function createUntilFull(api: Api): Promise<void> {
  for (let n = 0; n < 300; n++) {
    const answers = await Promise.all(Array.from({ length: 20 }, () => api.create({ name: 'one more' })))
    if (answers.every(({ status }) => status === 503)) return
  }
  throw new Error('the disk is not full')
}

describeWithMounts('a small disk', () => {
  let disk: SmallDisk
  let service: ServiceProcess
  let api: Api

  const data = (name: string): string => join(disk.folder, 'data', name)
  const generations = async (): Promise<string[]> =>
    (await readdir(join(disk.folder, 'data'))).filter((name) => /\.g\d+/.test(name) && !name.endsWith('lock'))
  const eventStore = async (): Promise<unknown> =>
    (await api.call<{ checks: Record<string, unknown> }>('GET', '/health/ready')).body.checks.event_store

  beforeEach(async () => {
    disk = await smallDisk(64 * MIB)
    const store = await openSqliteEventStore(data('events.db'))
    await (await historyOn(store)).grow(600)
    await store.close()
    service = await startService({ MAX_TOKENS_PER_ACCOUNT: '100000' }, disk.folder)
    api = apiOf(service.url)
  })
  afterEach(async () => {
    // The data on the disk are lost with it.
    await service.kill()
    endSmallDisks()
    await endServices()
  })

  it('has no room for a rebuild: that is refused and leaves nothing, and the service goes on', async () => {
    disk.fill(4 * MIB)
    const { code, stderr } = await cli(['rebuild'], disk.folder)
    expect(code).to.equal(3)
    expect(stderr).to.match(/read-model\.db\.g2 needs about \d+ MiB more, and the disk has \d+ MiB to spare/)
    expect(await generations()).to.deep.equal([])
    expect((await api.create({ name: 'goes on' })).status).to.equal(201)
    await disk.empty()
    expect((await cli(['rebuild'], disk.folder)).code).to.equal(0)
    expect(await generations()).to.include('read-model.db.g2')
  })

  it('takes no more of a rebuild on its way: nothing is left of it', async () => {
    const limit = ['prlimit', `--fsize=${MIB / 2}`]
    const { code, stderr } = await cli(['rebuild'], disk.folder, {}, limit)
    expect(code, stderr).to.equal(3)
    expect(await generations()).to.deep.equal([])
    expect((await cli(['rebuild'], disk.folder)).code).to.equal(0)
  })

  it('is full of what a killed rebuild has left: that goes, and writes go on by themselves', async () => {
    await writeFile(data('read-model.db.g2'), Buffer.alloc(8 * MIB))
    disk.fill(0)
    await eventually(() => expect(existsSync(data('read-model.db.g2'))).to.equal(false))
    await eventually(async () => expect((await api.create({ name: 'goes on' })).status).to.equal(201))
    await eventually(() => expect(service.output()).to.include('what an ended rebuild has left is removed'))
  })

  it('is full: readiness and metrics say so, and when there is room again without a restart', async () => {
    const { token } = (await api.create({ name: 'used' })).body
    expect(await eventStore()).to.equal('ok')
    disk.fill(0)
    await createUntilFull(api)
    expect(await api.use(token)).to.equal(200)
    expect(await eventStore()).to.equal('not_writable')
    expect((await api.call<string>('GET', '/metrics')).body).to.include('tokenledger_event_store_writable 0')
    await disk.empty()
    await eventually(async () => expect(await eventStore()).to.equal('ok'))
    expect((await api.create({ name: 'goes on' })).status).to.equal(201)
  })
})
