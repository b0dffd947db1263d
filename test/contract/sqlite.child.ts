import { createInterface } from 'node:readline'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { makeEvent } from './fixtures.ts'

/**
 * A second process for the tests. It opens the event store that is named, and says how that went. Then it appends to
 * each stream whose name it reads, until its input ends or it is killed.
 */
const path = process.argv[2] ?? ''
const textOf = (error: unknown): string => `${(error as Error).name}: ${(error as Error).message}`
try {
  const store = await openSqliteEventStore(path)
  await store.append('child-1', 'no_stream', [makeEvent()])
  console.log('open')
  for await (const stream of createInterface(process.stdin)) {
    console.log(await store.append(stream, 'no_stream', [makeEvent()]).then(() => 'acknowledged', textOf))
  }
  await store.close()
} catch (error) {
  console.log(textOf(error))
}
