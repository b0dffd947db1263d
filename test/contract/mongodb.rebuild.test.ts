import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { MongoClient } from 'mongodb'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { eventually } from '../support/suite/eventually.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'
import { people, put } from './readModel.fixtures.ts'
import { rebuildContract } from './rebuild.contract.ts'

/**
 * Longer than the time for which a process may use old knowledge of generations, as nothing is slow here. In
 * milliseconds.
 */
const SPREAD_MS = 1_200

describeWithMongod('MongoDB', () => {
  let server: Mongod
  let client: MongoClient

  before(async () => {
    server = await startMongod({ set: 'rs0' })
    client = await MongoClient.connect(server.url('names'))
  })

  after(async () => {
    await client.close()
    await server.stop()
  })

  rebuildContract('MongoDB', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokenledger-rebuild-'))
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    const database = `rebuild-${randomUUID()}`
    return {
      store,
      serve: () => openPatiently(server.url(database), { spreadMs: SPREAD_MS }),
      read: () => openPatiently(server.url(database), { readOnly: true, spreadMs: SPREAD_MS }),
      async names() {
        const collections = await client.db(database).listCollections().toArray()
        return collections
          .map(({ name }) => name)
          .filter((name) => name.startsWith('token'))
          .sort()
      },
      async dispose() {
        await store.close()
        rmSync(folder, { recursive: true })
      },
    }
  })

  describe('commands of several processes while a generation changes', () => {
    let models: ReadModel[]
    let database: string

    const open = async (readOnly = false): Promise<ReadModel> => {
      const model = await openPatiently(server.url(database), { readOnly, spreadMs: SPREAD_MS })
      await model.open([people])
      models.push(model)
      return model
    }
    const nameIn = async (collection: string, id: string): Promise<unknown> =>
      (await client.db(database).collection<{ _id: string; name: string }>(collection).findOne({ _id: id }))
        ?.name

    beforeEach(() => {
      models = []
      database = `moving-${randomUUID()}`
    })

    afterEach(() => Promise.all(models.map((model) => model.close())))

    it('reach the documents of both, from when it is filled until nobody reads the old one', async () => {
      const [one, two, command] = [await open(), await open(), await open(true)]
      const next = await command.next([people])
      await one.apply([put('early', 0, { name: 'old only' })])
      expect(await nameIn('people_v1_g2', 'early')).to.equal(undefined)
      expect(await next.startDualWrites()).to.equal('started')
      await one.apply([put('a', 0, { name: 'of one' })])
      await two.apply([put('b', 0, { name: 'of two' })])
      expect(await nameIn('people_v1_g2', 'a')).to.equal('of one')
      expect(await nameIn('people_v1_g2', 'b')).to.equal('of two')
      expect(await nameIn('people_v1', 'a')).to.equal('of one')

      const promoted = next.promote()
      await eventually(async () => expect(await one.get('people', 'early')).to.equal(null))
      await one.apply([put('c', 0, { name: 'after' })])
      expect(await nameIn('people_v1', 'c')).to.equal('after')
      expect(await two.get('people', 'c')).to.deep.equal({ id: 'c', name: 'after' })
      expect(await promoted).to.equal(true)
      await next.close()
      expect(await nameIn('people_v1', 'c')).to.equal(undefined)
      expect(await two.get('people', 'a')).to.deep.equal({ id: 'a', name: 'of one' })
    })

    it('are applied to what is live by a process that opens it later', async () => {
      const [one, command] = [await open(), await open(true)]
      const next = await command.next([people])
      await next.startDualWrites()
      await next.promote()
      await next.close()
      const late = await open()
      await late.apply([put('a', 0, { name: 'late' })])
      expect(await one.get('people', 'a')).to.deep.equal({ id: 'a', name: 'late' })
      expect(await nameIn('people_v1_g2', 'a')).to.equal('late')
    })

    it('leaves the rest of a rebuild that was killed to whoever runs', async () => {
      const [one, command] = [await open(), await open(true)]
      const next = await command.next([people])
      await next.startDualWrites()
      void next.promote().catch(() => {})
      await eventually(async () => {
        const pointer = await client.db(database).collection('pointers').findOne({ live: 2 })
        expect(pointer?.old).to.equal(1)
      })
      await next.close()
      await command.close()
      await eventually(async () => {
        await one.ping()
        await one.get('people', 'a')
        const names = await client.db(database).listCollections({ name: 'people_v1' }).toArray()
        expect(names).to.deep.equal([])
      })
    })
  })
})
