import { EventStoreDBClient } from '@eventstore/db-client'
import { StoreUnavailableError } from '../../application/ports/errors.ts'
import { type Address, parseAddress } from './address.ts'

/** The client, and the options of every call. */
export interface Connection {
  client: EventStoreDBClient
  hosts: string
  /**
   * With credentials in each call, the client uses the kind of append that has a deadline and is not shared with other
   * clients of the process. Only the leader may answer, since another node might give old data.
   */
  call: { credentials: Address['credentials']; requiresLeader: true }
  /** @throws StoreUnavailableError if it is closed */
  assertOpen(): void
  close(): Promise<void>
}

/** The client connects with its first call. @throws TypeError for text that is no address */
export function connect(url: string): Connection {
  const { connectionString, credentials, hosts } = parseAddress(url)
  const client = createClient(connectionString)
  let open = true
  return {
    client,
    hosts,
    call: { credentials, requiresLeader: true },
    assertOpen() {
      if (!open) throw new StoreUnavailableError(`the connection to ${hosts} is closed`)
    },
    async close() {
      open = false
      await client.dispose()
    },
  }
}

function createClient(connectionString: string): EventStoreDBClient {
  try {
    return EventStoreDBClient.connectionString(connectionString)
  } catch (error) {
    throw new TypeError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}
