import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { DocumentChange } from '../../projections/projection.ts'
import { projections } from '../../projections/index.ts'
import { openMongoReadModel } from '../../src/adapters/mongodb/readModel.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { createProjector, type Projector } from '../../src/application/projection/projector.ts'
import { compareReadModel } from '../../scripts/cli/compareReadModel.ts'
import { readSettings, type Settings } from '../../src/settings/settings.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type History, historyOn } from '../support/events/history.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { countingTelemetry } from '../support/stores/pieces.ts'
import { rejection } from '../contract/fixtures.ts'

const telemetry = countingTelemetry()
const { log } = telemetry

function comparesOn(modelUrl: (folder: string) => string, open: (url: string) => Promise<ReadModel>): void {
  let folder: string
  let settings: Settings
  let store: EventStore
  let live: ReadModel
  let projector: Projector
  let history: History

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-compare-'))
    const urls = { EVENT_STORE_URL: `sqlite:${folder}/events.db`, READ_MODEL_URL: modelUrl(folder) }
    settings = readSettings({ JWT_SECRET: SECRET, TOKEN_PEPPERS: PEPPERS, ...urls })
    store = await openSqliteEventStore(join(folder, 'events.db'))
    live = await open(urls.READ_MODEL_URL)
    projector = createProjector({ store, readModel: live, projections, telemetry, id: 'p', onChanged() {} })
    await projector.start()
    history = await historyOn(store)
    await history.grow(200)
    await level()
  })

  afterEach(async () => {
    await projector.stop()
    await Promise.all([store.close(), live.close()])
    rmSync(folder, { recursive: true })
  })

  const level = (): Promise<void> =>
    eventually(async () => {
      const head = await store.head()
      for (const one of projections) expect((await live.checkpoint(one))?.position).to.equal(head)
    })

  const put = (id: string, fields: Record<string, string>, collection = 'tokens'): DocumentChange => ({
    kind: 'put',
    collection,
    id,
    revision: 99,
    fields,
  })

  it('finds no difference where there is none', async () => {
    const { documents, differing, differences } = await compareReadModel(settings, { log })
    expect(documents).to.be.above(100)
    expect([differing, differences]).to.deep.equal([0, []])
  })

  it('names document, field, and both values of a difference', async () => {
    const [id = ''] = history.tokens
    await live.apply([put(id, { name: 'Mallory', hash: 'f'.repeat(64) })])
    const { differing, differences } = await compareReadModel(settings, { log })
    expect(differing).to.equal(1)
    const [hash, name] = differences
    expect(hash).to.deep.equal({
      collection: 'tokens',
      id,
      field: 'hash',
      expected: '(not shown)',
      found: '(not shown)',
    })
    expect(name).to.include({ collection: 'tokens', id, field: 'name', found: 'Mallory' })
    expect(name?.expected).to.be.a('string').and.not.equal('Mallory')
  })

  it('finds a document that is one too many, and a use that was counted twice', async () => {
    const [usage] = await live.find('tokenUsage', { where: [], limit: 1 })
    const id = String(usage?.id)
    const position = (await store.head()) ?? ''
    await live.apply([
      put('zz', { tokenId: 'nobody' }, 'tokenHistory'),
      { kind: 'add', collection: 'tokenUsage', id, position, sum: { requests: 1 } },
    ])
    const { differing, differences } = await compareReadModel(settings, { log })
    const requests = Number(usage?.requests)
    expect(differing).to.equal(2)
    expect(differences).to.deep.equal([
      { collection: 'tokenHistory', id: 'zz', field: null, expected: 'none', found: 'a document' },
      { collection: 'tokenUsage', id, field: 'requests', expected: requests, found: requests + 1 },
    ])
  })

  it('counts all and shows some', async () => {
    await live.apply(Array.from({ length: 120 }, (_, n) => put(`x${n}`, { name: 'nobody' })))
    const { differing, differences } = await compareReadModel(settings, { log })
    expect([differing, differences.length]).to.deep.equal([120, 50])
  })

  it('raises no false alarm while the read model moves on', async () => {
    let going = true
    const traffic = (async () => {
      while (going) {
        const { events } = await history.command()
        await projector.apply(events)
        await history.use()
        await sleep(2)
      }
    })()
    try {
      const { differing, differences } = await compareReadModel(settings, { log })
      expect([differing, differences]).to.deep.equal([0, []])
    } finally {
      going = false
      await traffic
    }
  })

  it('takes lag for no difference, and says how far it has compared', async () => {
    const whole = await compareReadModel(settings, { log })
    expect(whole.lags.map(({ lag }) => lag)).to.deep.equal(projections.map(() => 0))
    await projector.stop()
    const head = await store.head()
    await history.grow(20)
    const { differing, differences, lags } = await compareReadModel(settings, { log })
    expect([differing, differences]).to.deep.equal([0, []])
    let behind = 0
    for await (const events of store.readAll(head)) behind += events.length
    expect(behind).to.be.at.least(20)
    expect(lags.map(({ checkpoint, lag }) => [checkpoint, lag])).to.deep.equal(
      projections.map(() => [head, behind]),
    )
  })

  it('tells how far it is', async () => {
    const phases = new Set<string>()
    await compareReadModel(settings, {
      log,
      onProgress: ({ phase, count }) => count > 0 && phases.add(phase),
    })
    expect([...phases]).to.deep.equal(['folding', 'comparing'])
  })

  it('says so when there is nothing to compare', async () => {
    const nothing = { ...settings, eventStoreUrl: `sqlite:${folder}/none.db` }
    expect(String(await rejection(compareReadModel(nothing, { log })))).to.include('no event store')
  })
}

describe('A comparison of the read model with its events, on SQLite', () => {
  comparesOn(
    (folder) => `sqlite:${folder}/read-model.db`,
    (url) => openSqliteReadModel(url.slice('sqlite:'.length)),
  )
})

describeWithMongod('A comparison of the read model with its events, on MongoDB', () => {
  let server: Mongod
  let count = 0
  before(async () => {
    server = await startMongod({ set: 'rs0' })
  })
  after(() => server.stop())
  comparesOn(() => server.url(`compare-${count++}`), openMongoReadModel)
})
