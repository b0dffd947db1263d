import type { Instant } from '../../application/ports/clock.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import { isSecureUrl } from '../../domain/secureUrl.ts'
import { fetchJson } from '../network/fetchJson.ts'
import { createRemoteKeys, type RemoteKeys } from '../network/remoteKeys.ts'
import { type JwtHeader, type Key, type KeySet, readKeySet } from './keySet.ts'

/** An issuer that publishes its keys: at `jwksUrl`, or where its discovery document says. */
export interface Issuer {
  issuer: string
  jwksUrl?: string | undefined
}

const MINUTE_MS = 60_000
const TIMES = { kept: 10 * MINUTE_MS, lastGood: 24 * 60 * MINUTE_MS, pause: MINUTE_MS / 2 }

interface Dependencies {
  log: Pick<Logger, 'info' | 'warn'>
  now?: () => Instant
}

/** Asks for the keys at once. @throws Error if there are none, or nobody answers */
export const loadIssuerKeys = async ({ issuer, jwksUrl }: Issuer): Promise<KeySet> =>
  readKeySet(await fetchJson(jwksUrl ?? (await discover(issuer))))

/** The keys of an issuer. A request waits for it if its JWT names a key that is not known, and where they are old. */
export function createIssuerKeys(
  { issuer, jwksUrl }: Issuer,
  dependencies: Dependencies,
): RemoteKeys<JwtHeader, Key> {
  let keysUrl = jwksUrl

  async function load(): Promise<KeySet> {
    try {
      keysUrl ??= await discover(issuer)
      return await loadIssuerKeys({ issuer, jwksUrl: keysUrl })
    } catch (error) {
      // The keys may have moved, and then the issuer says so.
      keysUrl = jwksUrl
      throw error
    }
  }

  const keys = createRemoteKeys({ load, of: issuer, times: TIMES, ...dependencies })
  return {
    ...keys,
    // A JWT that no published key can have signed is no reason to ask.
    find: (header) => (header.alg === 'RS256' || header.alg === 'ES256' ? keys.find(header) : undefined),
  }
}

/**
 * OpenID Connect Discovery 1.0 §4: the document that an issuer has about itself.
 * @returns where its keys are
 */
async function discover(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const { issuer: named, jwks_uri: keysUrl } = Object(await fetchJson(url)) as Record<string, unknown>
  if (named !== issuer) throw new Error(`${url} is about another issuer than JWT_ISSUER`)
  if (typeof keysUrl !== 'string' || !isSecureUrl(keysUrl))
    throw new Error(`${url} names no https URL as jwks_uri`)
  return keysUrl
}
