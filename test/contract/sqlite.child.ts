import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts'
import { makeEvent } from './fixtures.ts'

/** A second process for the tests: opens the event store named, says how that went, and stays until it is killed. */
const path = process.argv[2] ?? ''
try {
  const store = await openSqliteEventStore(path)
  await store.append('child-1', 'no_stream', [makeEvent()])
  console.log('open')
  setInterval(() => {}, 1_000)
} catch (error) {
  console.log(`${(error as Error).name}: ${(error as Error).message}`)
}
