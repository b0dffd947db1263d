import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import { withEventStore, withReadModel } from '../../scripts/cli/stores.ts'
import { StoreUnavailableError } from '../../src/application/ports/errors.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { openReadModel } from '../../src/stores/open.ts'
import { freePort } from '../support/processes/ports.ts'
import { type StandIn, startStandIn } from '../support/standIn/standIn.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { patient, whenAvailable } from '../support/stores/patient.ts'
import { rejection } from '../contract/fixtures.ts'

/** Each is longer than any single call of a command may take. */
const OUTAGE_MS = { mongodb: 2_000, eventStoreDb: 7_000 }

describeWithMongod('What a command reads of a read model on MongoDB', () => {
  let server: Mongod
  let readModelUrl: string

  before(async () => {
    server = await startMongod({ set: 'rs0' })
    readModelUrl = server.url('read')
    const model = patient(await whenAvailable(() => openReadModel({ readModelUrl })))
    await model.open(projections)
    await model.publish(projections)
    await model.apply([{ kind: 'put', collection: 'tokens', id: 'a', revision: 0, fields: { name: 'CI' } }])
    await model.close()
  })
  after(() => server.stop())

  const settings = () => readSettings({ READ_MODEL_URL: readModelUrl })

  it('is answered once the server does so again', async () => {
    const [found, reached] = await withReadModel(settings(), Date.now, async ({ readModel }) => {
      await server.freeze()
      const thawed = sleep(OUTAGE_MS.mongodb).then(server.thaw)
      const reads = [
        readModel.find('tokens', { where: [], limit: 2 }),
        readModel.get('tokens', 'a'),
        readModel.count('tokens', [], 2),
        readModel.isPublished(projections),
      ]
      const checkpoint = readModel.checkpoint(projections[0] as (typeof projections)[0])
      await thawed
      return [await Promise.all(reads), await checkpoint]
    })
    expect(found).to.deep.equal([[{ id: 'a', name: 'CI' }], { id: 'a', name: 'CI' }, 1, true])
    expect(reached).to.equal(null)
  })

  it('is not waited for where no server is', async () => {
    const nobody = readSettings({ READ_MODEL_URL: `mongodb://127.0.0.1:${await freePort()}/read` })
    const work = withReadModel(nobody, Date.now, async () => 'read')
    expect(await rejection(work)).to.be.instanceOf(StoreUnavailableError)
  })
})

describe('What a command reads of an EventStoreDB', () => {
  let server: StandIn

  before(async () => {
    server = await startStandIn()
  })
  after(() => server.kill())

  it('is answered once the server does so again', async () => {
    const settings = readSettings({ EVENT_STORE_URL: server.url })
    const read = await withEventStore(settings, async ({ store }) => {
      server.freeze()
      const thawed = sleep(OUTAGE_MS.eventStoreDb).then(server.thaw)
      const events = (async () => {
        for await (const batch of store.readAll(null)) return batch
        return []
      })()
      const reads = [events, store.readStream('nothing'), store.head().then((head) => typeof head)]
      await thawed
      return Promise.all(reads)
    })
    expect(read).to.deep.equal([[], [], 'string'])
  })
})
