import { createPublicKey, type KeyObject } from 'node:crypto'
import type { Logger } from '../../application/ports/telemetry.ts'
import type { Instant } from '../../application/ports/clock.ts'
import { fetchJson } from './fetchJson.ts'
import { createRemoteKeys, type RemoteKeys } from './remoteKeys.ts'

/** The public key of a reporter of leaks, by its id. */
export type FindLeakKey = (id: string) => KeyObject | undefined | Promise<KeyObject | undefined>

const MINUTE_MS = 60_000
const TIMES = { kept: 24 * 60 * MINUTE_MS, lastGood: 7 * 24 * 60 * MINUTE_MS, pause: 5 * MINUTE_MS }

interface Dependencies {
  log: Pick<Logger, 'info' | 'warn'>
  now?: () => Instant
}

/** Asks for the keys at once. @throws Error if there are none, or nobody answers */
export const loadLeakKeys = async (url: string): Promise<ReturnType<typeof readLeakKeys>> =>
  readLeakKeys(await fetchJson(url))

/** The keys with which a reporter signs, where it publishes them. */
export const createLeakKeys = (url: string, dependencies: Dependencies): RemoteKeys<string, KeyObject> =>
  createRemoteKeys({
    load: () => loadLeakKeys(url),
    of: url,
    times: TIMES,
    ...dependencies,
  })

/**
 * The P-256 keys of a document as GitHub publishes it, current or not.
 * @throws Error if there is none
 */
export function readLeakKeys(document: unknown): (id: string) => KeyObject | undefined {
  const { public_keys: listed } = Object(document) as { public_keys?: unknown }
  const keys = new Map<string, KeyObject>()
  for (const entry of Array.isArray(listed) ? listed : []) {
    const { key_identifier: id, key: pem } = Object(entry) as Record<string, unknown>
    const key = typeof pem === 'string' ? readKey(pem) : null
    if (typeof id === 'string' && key) keys.set(id, key)
  }
  if (keys.size === 0) throw new Error('the document has no key that can be used')
  return (id) => keys.get(id)
}

function readKey(pem: string): KeyObject | null {
  try {
    const key = createPublicKey(pem)
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : null
  } catch {
    return null
  }
}
