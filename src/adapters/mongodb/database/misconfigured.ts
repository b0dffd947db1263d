import { MongoClient, type MongoClientOptions } from 'mongodb'
import { StoreMisconfiguredError } from '../../../application/ports/errors.ts'
import {
  type Endpoint,
  handshake,
  isUnknownHost,
  SPEAKS_NO_TLS,
  SPEAKS_TLS,
  UNKNOWN_HOST,
} from '../../network/tls.ts'

/** With the name of the address that the message is about. */
export const named = (called: string, error: unknown): unknown =>
  error instanceof StoreMisconfiguredError ? new StoreMisconfiguredError(error.reason, called) : error

const NO_FILE = 'there is no file where an option of this address names one'

const ASKED_MS: MongoClientOptions = { serverSelectionTimeoutMS: 1_000, connectTimeoutMS: 1_000 }

/**
 * Why no connection has come about at the start, if that lasts; else null. A server that is addressed with TLS and has
 * none, or the other way round, just closes connections: so it is asked the other way.
 */
export async function connectionFault({ options }: MongoClient, error: unknown): Promise<string | null> {
  if (isUnknownHost(error)) return UNKNOWN_HOST
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return NO_FILE
  const endpoints = options.hosts.flatMap(({ host, port }) =>
    host === undefined ? [] : [{ host, port: port ?? 27_017 }],
  )
  const answers = await Promise.all(endpoints.map(options.tls ? answersWithoutTls : answersWithTls))
  if (!answers.includes(true)) return null
  return options.tls ? SPEAKS_NO_TLS : SPEAKS_TLS
}

const answersWithTls = async (endpoint: Endpoint): Promise<boolean> =>
  (await handshake(endpoint, { rejectUnauthorized: false, ALPNProtocols: [] })) === null

async function answersWithoutTls({ host, port }: Endpoint): Promise<boolean> {
  const name = host.includes(':') ? `[${host}]` : host
  const client = new MongoClient(`mongodb://${name}:${port}/?directConnection=true&tls=false`, ASKED_MS)
  try {
    await client.db('admin').command({ hello: 1 })
    return true
  } catch {
    return false
  } finally {
    await client.close()
  }
}
