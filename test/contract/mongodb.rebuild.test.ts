import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { openMongoReadModel } from '../../src/adapters/mongodb/read-model.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/mongod.ts'
import { rebuildContract } from './rebuild.contract.ts'

/** Longer than what a process knows may be old, and nothing is slow here. */
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
      serve: () => openMongoReadModel(server.url(database), { spreadMs: SPREAD_MS }),
      read: () => openMongoReadModel(server.url(database), { readOnly: true, spreadMs: SPREAD_MS }),
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
})
