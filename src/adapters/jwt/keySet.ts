import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'

/** A key, and the one algorithm that it verifies. */
export interface Key {
  key: KeyObject
  algorithm: 'HS256' | 'RS256' | 'ES256'
}

/** What the header of a JWT says of its key. */
export interface JwtHeader {
  kid?: string
  alg?: string
}

/** Finds the key for a JWT. Undefined: there is none, and the JWT is refused. */
export type FindKey = (header: JwtHeader) => Key | undefined | Promise<Key | undefined>

const MIN_RSA_BITS = 2048

/** The algorithm that a public key verifies: RS256 for RSA of 2048 bits or more, ES256 for P-256, null for others. */
export function algorithmOf({
  asymmetricKeyType,
  asymmetricKeyDetails,
}: KeyObject): 'RS256' | 'ES256' | null {
  if (asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS)
    return 'RS256'
  if (asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256'
  return null
}

export type KeySet = (header: JwtHeader) => Key | undefined

/**
 * The keys of a JWK Set (RFC 7517) that verify signatures: those that are not for something else, by `use` or `alg`. An
 * id that two of them have stands for neither. A JWT without `kid` is verified with the one key of its algorithm.
 * @throws Error if there is no such key
 */
export function readKeySet(document: unknown): KeySet {
  const { keys } = Object(document) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new Error('the document is no JWK Set')
  const usable = keys.map(readKey).filter((key) => key !== null)
  const counts = new Map<string | undefined, number>()
  for (const { kid } of usable) counts.set(kid, (counts.get(kid) ?? 0) + 1)
  const single = usable.filter(({ kid }) => kid === undefined || counts.get(kid) === 1)
  if (single.length === 0) throw new Error('the JWK Set has no key that can be used')
  return ({ kid, alg }) => {
    if (kid !== undefined) return single.find((key) => key.kid === kid)
    const [first, ...more] = single.filter((key) => key.algorithm === alg)
    return more.length === 0 ? first : undefined
  }
}

/** Null for a key that is malformed, or not for verifying. */
function readKey(jwk: unknown): (Key & { kid: string | undefined }) | null {
  const { kid, kty, use = 'sig', alg } = Object(jwk) as Record<string, unknown>
  if ((kty !== 'RSA' && kty !== 'EC') || use !== 'sig') return null
  if (kid !== undefined && typeof kid !== 'string') return null
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    const algorithm = algorithmOf(key)
    return algorithm !== null && (alg === undefined || alg === algorithm) ? { kid, key, algorithm } : null
  } catch {
    return null
  }
}
