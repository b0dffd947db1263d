import { EventStoreDBClient } from '@eventstore/db-client'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import { parseAddress } from '../../src/adapters/eventstoredb/address.ts'
import { startStandIn } from '../support/standIn/standIn.ts'

/** A real server to run against instead of the stand-in. */
export const REAL_URL = process.env.TEST_EVENTSTORE_URL

/** Names the server in the titles, since a run against the stand-in proves nothing about a real server. */
export const TITLE = REAL_URL ? `EventStoreDB at ${parseAddress(REAL_URL).hosts}` : 'EventStoreDB (stand-in)'

export interface TestServer {
  url: string
  /** A client of its own, and the options with which it appends as the adapter does. */
  client: EventStoreDBClient
  call: { credentials: { username: string; password: string }; deadline: number }
  stop(): Promise<void>
}

export async function startServer(): Promise<TestServer> {
  const standIn = REAL_URL ? undefined : await startStandIn()
  const url = REAL_URL ?? standIn?.url ?? ''
  const { connectionString, credentials } = parseAddress(url)
  const client = EventStoreDBClient.connectionString(connectionString)
  return {
    url,
    client,
    call: { credentials, deadline: 5_000 },
    async stop() {
      await client.dispose()
      await standIn?.kill()
    },
  }
}

/** Opens stores that are closed after each test. To be called in the `describe` block. */
export function openForOneTest(): typeof openEventStoreDb {
  const opened: EventStore[] = []
  afterEach(() => Promise.all(opened.splice(0).map((store) => store.close())))
  return async (...args) => {
    const store = await openEventStoreDb(...args)
    opened.push(store)
    return store
  }
}
