import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { MongoClient } from 'mongodb'
import { projections } from '../../projections/index.ts'
import type { Projection } from '../../projections/projection.ts'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import { unseal } from '../../src/adapters/sqlite/documents/seal.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'
import { createProjector } from '../../src/application/projection/projector.ts'
import { historyOn } from '../support/events/history.ts'
import { countingTelemetry } from '../support/stores/pieces.ts'
import { poisonContract } from './poison.contract.ts'

const versionOf = (name: string): string =>
  `${name}_v${projections.find((one) => one.name === name)?.version}`

poisonContract('a read model on SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-poison-'))
  const [events, file] = [join(folder, 'events.db'), join(folder, 'read-model.db')]
  const store = await openSqliteEventStore(events)
  const model = await openSqliteReadModel(file)

  /** Nobody has the file open during this, since a service closes a file that another program writes to. */
  async function beside(sql: string): Promise<void> {
    const live = existsSync(`${file}.live`)
      ? `${file}.g${readFileSync(`${file}.live`, 'utf8').split(' ')[0]}`
      : file
    const database = await openDatabase(live, { synchronous: 'NORMAL' })
    database.exec(sql)
    database.close()
    unseal(live)
  }

  return {
    store,
    model,
    isShared: false,
    refuseRequest: (requestId) =>
      beside(`CREATE TRIGGER refuse BEFORE INSERT ON ${versionOf('tokenHistory')}
        WHEN json_extract(NEW.doc, '$.requestId') = '${requestId}'
        BEGIN SELECT RAISE(ABORT, 'refused'); END`),
    spoil: (tokenId) =>
      beside(`UPDATE ${versionOf('tokens')} SET doc = '{"name": "Mallory"}' WHERE id = '${tokenId}'`),
    reopen: () => openSqliteReadModel(file),
    rebuilder: () => openSqliteReadModel(file, { readOnly: true }),
    async dispose() {
      await Promise.all([store.close(), model.close()])
      rmSync(folder, { recursive: true })
    },
  }
})

describeWithMongod('With a mongod', () => {
  let server: Mongod
  let count = 0

  it('a document of more than 16 MB is refused, and its token is closed', async () => {
    const events = mkdtempSync(join(tmpdir(), 'tokenledger-poison-'))
    const store = await openSqliteEventStore(join(events, 'events.db'))
    const readModel = await openPatiently(server.url(`poison-${++count}`))
    const telemetry = countingTelemetry()
    const projector = createProjector({ store, readModel, projections, telemetry, id: 'p', onChanged() {} })
    const history = await historyOn(store)
    try {
      await history.grow(8)
      const large = await history.create('x'.repeat(17 * 1024 * 1024))
      await history.grow(8)
      await projector.start()
      expect((await readModel.checkpoint(projections[0] as Projection))?.position).to.equal(
        await store.head(),
      )
      expect(await readModel.get('tokens', large))
        .to.include({ id: large })
        .and.have.property('stopped')
      for (const id of history.tokens.filter((one) => one !== large))
        expect(await readModel.get('tokens', id))
          .to.have.property('name')
          .and.not.have.property('stopped')
      expect(telemetry.errors).to.deep.equal(['event refused'])
    } finally {
      await projector.stop()
      await Promise.all([store.close(), readModel.close()])
      rmSync(events, { recursive: true })
    }
  })

  before(async () => {
    server = await startMongod({ set: 'rs0' })
  })
  after(() => server.stop())

  poisonContract('a read model on MongoDB', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokenledger-poison-'))
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    const url = server.url(`poison-${++count}`)
    const model = await openPatiently(url, { spreadMs: 50 })
    const client = new MongoClient(url)
    const database = client.db()
    return {
      store,
      model,
      isShared: true,
      async refuseRequest(requestId) {
        const validator = { requestId: { $ne: requestId } }
        await database.command({ collMod: versionOf('tokenHistory'), validator })
      },
      async spoil(tokenId) {
        const wrong = { $set: { hint: 17 } }
        const bypass = { bypassDocumentValidation: true }
        await database.collection(versionOf('tokens')).updateOne({ _id: tokenId as never }, wrong, bypass)
      },
      reopen: () => openPatiently(url, { spreadMs: 50 }),
      rebuilder: () => openPatiently(url, { spreadMs: 50 }),
      async dispose() {
        await Promise.all([store.close(), model.close(), client.close()])
        rmSync(folder, { recursive: true })
      },
    }
  })
})
