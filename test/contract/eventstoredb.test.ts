import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import { eventStoreContract } from './eventStore.contract.ts'
import { startServer, type TestServer, TITLE } from './eventstoredb.server.ts'

describe('EventStoreDB', () => {
  let server: TestServer
  before(async () => {
    server = await startServer()
  })
  after(() => server.stop())

  eventStoreContract(TITLE, async () => {
    const store = await openEventStoreDb(server.url)
    return { store, dispose: () => store.close() }
  })
})
