import { EventStoreDBClient } from '@eventstore/db-client'
import { StoreUnavailableError } from '../../application/ports/errors.ts'
import { type Address, parseAddress } from './address.ts'

/** The client and what every call to it says. */
export interface Connection {
  client: EventStoreDBClient
  hosts: string
  /**
   * Credentials with each call choose the append that has a deadline and is not shared with other clients of the
   * process; a node that does not lead would serve the past.
   */
  call: { credentials: Address['credentials']; requiresLeader: true }
  /** @throws StoreUnavailableError when it is closed */
  assertOpen(): void
  close(): Promise<void>
}

/** Connects with the first call. @throws TypeError for an address that cannot be one */
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
