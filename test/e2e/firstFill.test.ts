import { copyFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { compareReadModel } from '../../scripts/cli/compareReadModel.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { apiOf } from '../support/callers/api.ts'
import { fileOfRows, oldRow, oldToken, takeOver } from '../support/events/oldTable.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { endServices, ownFolder, startService } from '../support/processes/service.ts'
import { countingTelemetry } from '../support/stores/pieces.ts'

const ENVIRONMENT = { ACCEPT_LEGACY_TOKENS: 'true', LOG_LEVEL: 'info' }
/** So many that a start does not follow the log from its first event. */
const TOKENS = 10_500

const FILLS = 'fills the read model for the first time'
const SERVES = 'serves from the rebuilt read model'

describe('the first start on a long log', function () {
  this.timeout(180_000)
  let seeded: string
  let folder: string

  before(async () => {
    seeded = await mkdtemp(join(tmpdir(), 'tokenledger-seeded-'))
    const store = await openSqliteEventStore(join(seeded, 'events.db'))
    await takeOver(store, fileOfRows(Array.from({ length: TOKENS }, (_, i) => oldRow(i + 1))))
    await store.close()
  })
  beforeEach(async () => {
    folder = await ownFolder()
    await mkdir(join(folder, 'data'))
    await copyFile(join(seeded, 'events.db'), join(folder, 'data/events.db'))
  })
  afterEach(endServices)
  after(() => rm(seeded, { recursive: true }))

  async function expectUsable(url: string): Promise<void> {
    for (const n of [1, 5000, TOKENS]) expect(await apiOf(url).use(oldToken(n)), String(n)).to.equal(200)
  }

  async function expectNoDifference(): Promise<void> {
    const settings = readSettings({
      JWT_SECRET: SECRET,
      TOKEN_PEPPERS: PEPPERS,
      EVENT_STORE_URL: `sqlite:${join(folder, 'data/events.db')}`,
      READ_MODEL_URL: `sqlite:${join(folder, 'data/read-model.db')}`,
    })
    const { documents, differences } = await compareReadModel(settings, { log: countingTelemetry().log })
    expect(documents).to.be.above(TOKENS)
    expect(differences).to.deep.equal([])
  }

  const filesOfModel = async (): Promise<string[]> =>
    (await readdir(join(folder, 'data'))).filter((name) => /^read-model\.db(\.g\d+)?$/.test(name))

  it('fills the read model as a rebuild does, before it listens', async () => {
    const service = await startService(ENVIRONMENT, folder)
    expect(service.output()).to.contain(FILLS).and.contain(SERVES)
    await expectUsable(service.url)
    await expectNoDifference()
    expect(await filesOfModel()).to.deep.equal(['read-model.db.g2'])
    expect(await service.stop()).to.equal(0)
    const again = await startService(ENVIRONMENT, folder)
    expect(again.output()).not.to.contain(FILLS)
    await expectUsable(again.url)
  })

  it('is gone on with after a kill -9', async () => {
    let output = ''
    const killed = startService(ENVIRONMENT, folder, [
      process.execPath,
      '--eval',
      // The process kills itself once its thread has read something, before the file is whole.
      `const { Worker } = require('node:worker_threads')
       const on = Worker.prototype.on
       Worker.prototype.on = function (name, listener) {
         return on.call(this, name, name === 'message' ? () => process.kill(process.pid, 'SIGKILL') : listener)
       }
       import(${JSON.stringify(new URL('../../src/main.js', import.meta.url).href)})`,
    ]).catch((error: Error) => (output = error.message))
    await killed
    expect(output).to.contain('the service ended with null')
    expect(await filesOfModel()).to.deep.equal(['read-model.db', 'read-model.db.g2'])
    const service = await startService(ENVIRONMENT, folder)
    expect(service.output()).to.contain(SERVES)
    await expectUsable(service.url)
    await expectNoDifference()
  })

  it('follows the log where no file can be filled beside', async () => {
    await mkdir(join(folder, 'data/read-model.db.g2'))
    const service = await startService(ENVIRONMENT, folder)
    expect(service.output()).to.contain('the read model cannot be filled at once')
    expect(service.output()).not.to.contain(SERVES)
    await expectUsable(service.url)
  })
})
