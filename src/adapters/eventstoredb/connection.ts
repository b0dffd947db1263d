import { existsSync } from 'node:fs'
import { EventStoreDBClient } from '@eventstore/db-client'
import { StoreMisconfiguredError, StoreUnavailableError } from '../../application/ports/errors.ts'
import { type Address, parseAddress } from './address.ts'
import { createExplainer, type Explainer } from './misconfigured.ts'

/** The client, and the options of every call. */
export interface Connection extends Explainer {
  client: EventStoreDBClient
  hosts: string
  /** How long one call may take, in milliseconds. */
  callMs: number
  /**
   * With credentials in each call, the client uses the kind of append that has a deadline and is not shared with other
   * clients of the process. Only the leader may answer, since another node might give old data.
   */
  call: { credentials: Address['credentials']; requiresLeader: true }
  /** @throws StoreUnavailableError if it is closed */
  assertOpen(): void
  close(): Promise<void>
}

/**
 * The client connects with its first call.
 * @param called names the address in messages. Default: its hosts
 * @throws TypeError for text that is no address; StoreMisconfiguredError
 */
export function connect(url: string, callMs: number, called?: string): Connection {
  const address = parseAddress(url)
  const { credentials, hosts } = address
  const client = createClient(address, called ?? hosts)
  let open = true
  return {
    ...createExplainer(address, called ?? hosts),
    client,
    hosts,
    callMs,
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

function createClient({ connectionString, caFile }: Address, called: string): EventStoreDBClient {
  try {
    return EventStoreDBClient.connectionString(connectionString)
  } catch (error) {
    if (caFile !== null && !existsSync(caFile))
      throw new StoreMisconfiguredError('there is no file where tlsCAFile names one', called)
    throw new TypeError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}
