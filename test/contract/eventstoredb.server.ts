import { EventStoreDBClient } from '@eventstore/db-client'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import { parseAddress } from '../../src/adapters/eventstoredb/address.ts'
import { startStandIn } from '../support/standIn/standIn.ts'
import { isVersionName, type VersionName } from '../support/standIn/version.ts'

/** A real server to run against instead of the stand-in. */
export const REAL_URL = process.env.TEST_EVENTSTORE_URL

/** Those that differ in what the product meets. */
export const VERSIONS = ['23.10', '24.10'] as const satisfies VersionName[]

/**
 * Describes a suite on each of these versions of the stand-in, or once on the real server. The title says which server
 * it was: what the stand-in shows is proof of nothing but that.
 */
export function onServers(
  versions: readonly VersionName[],
  suite: (start: () => Promise<TestServer>) => void,
): void {
  if (REAL_URL) describe(`EventStoreDB at ${parseAddress(REAL_URL).hosts}`, () => suite(() => startServer()))
  else onStandIns(versions, (version) => suite(() => startServer(version)))
}

/** Describes a suite, on each of these versions of the stand-in, that a real server cannot show: it misbehaves on command. */
export function onStandIns(versions: readonly VersionName[], suite: (version: VersionName) => void): void {
  if (REAL_URL) return
  for (const version of versions) describe(`EventStoreDB ${version} (stand-in)`, () => suite(version))
}

export interface TestServer {
  url: string
  /** What the server says that it is. */
  version: VersionName
  /** A client of its own, and what its calls must say to append like the adapter. */
  client: EventStoreDBClient
  call: { credentials: { username: string; password: string }; deadline: number }
  stop(): Promise<void>
}

async function startServer(behave?: VersionName): Promise<TestServer> {
  const standIn = REAL_URL ? undefined : await startStandIn({ ...(behave && { behave }) })
  const url = REAL_URL ?? standIn?.url ?? ''
  const { connectionString, credentials } = parseAddress(url)
  const client = EventStoreDBClient.connectionString(connectionString)
  return {
    url,
    version: await versionOf(client),
    client,
    call: { credentials, deadline: 5_000 },
    async stop() {
      await client.dispose()
      await standIn?.kill()
    },
  }
}

async function versionOf(client: EventStoreDBClient): Promise<VersionName> {
  const asked = client as unknown as { capabilities: Promise<{ serverVersion?: string }> }
  const { serverVersion = '' } = await asked.capabilities
  const version = serverVersion.split('.').slice(0, 2).join('.')
  if (!isVersionName(version)) throw new Error(`nothing is known of EventStoreDB ${serverVersion}`)
  return version
}

/** Opens stores that are closed after the test. To be called where tests are described. */
export function openForOneTest(): typeof openEventStoreDb {
  const opened: EventStore[] = []
  afterEach(() => Promise.all(opened.splice(0).map((store) => store.close())))
  return async (...args) => {
    const store = await openEventStoreDb(...args)
    opened.push(store)
    return store
  }
}
