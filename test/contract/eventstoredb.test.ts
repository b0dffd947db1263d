import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts'
import { startStandIn } from '../support/standIn/standIn.ts'
import { eventStoreContract } from './event-store.contract.ts'

eventStoreContract('EventStoreDB', async () => {
  const standIn = await startStandIn()
  const store = await openEventStoreDb(standIn.url)
  return {
    store,
    async dispose() {
      await store.close()
      await standIn.kill()
    },
  }
})
