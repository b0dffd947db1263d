import { openEventStoreDb } from '../../../src/adapters/eventstoredb/eventStore.ts'
import { movableEvent } from './movable.ts'

/** Another application, which shares the EventStoreDB, writes two thousand events. */
export async function writeForeign(url: string): Promise<void> {
  const store = await openEventStoreDb(url)
  for (let n = 0; n < 20; n++) {
    const events = Array.from({ length: 100 }, () => movableEvent('Ordered'))
    await store.append(`orders-${n}`, 'no_stream', events)
  }
  await store.close()
}
