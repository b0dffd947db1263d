import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import { eventStoreContract } from './eventStore.contract.ts'
import { onServers, type TestServer, VERSIONS } from './eventstoredb.server.ts'

onServers(VERSIONS, (start) => {
  let server: TestServer
  before(async () => {
    server = await start()
  })
  after(() => server.stop())

  eventStoreContract('EventStoreDB', async () => {
    const store = await openEventStoreDb(server.url)
    return { store, dispose: () => store.close() }
  })
})
