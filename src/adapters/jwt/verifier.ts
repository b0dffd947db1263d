import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import jwt from 'jsonwebtoken'
import type { JwtClaims, JwtRefusal, JwtVerifier } from '../../application/ports/jwtVerifier.ts'
import { isAccountId, isForeignId, isScope } from '../../domain/rules.ts'
import type { Issuer } from './issuerKeys.ts'
import { algorithmOf, type FindKey, type Key } from './keySet.ts'

/** One secret, one public key (PEM), or several of either by `kid`. */
export type OwnKeys = { secret: string } | { publicKey: string } | { keys: Record<string, string> }

/** Where JWT keys come from. */
export type JwtKeys = OwnKeys | Issuer

export type JwtOptions = JwtKeys & JwtChecks

/** What is checked beside the signature. */
export interface JwtChecks {
  issuer?: string | undefined
  audience?: string | undefined
  /** The claim that names the account. Default `sub`. */
  accountClaim?: string | undefined
  /** By how many seconds the login's clock may differ, for `exp` and `nbf`: 0 to 60. Default 5. */
  leewaySeconds?: number | undefined
}

export const LEEWAY_SECONDS = 5
const MIN_SECRET_BYTES = 32
/** In characters: Node's default limit for all headers of a request together. Longer text is not even parsed. */
const MAX_JWT = 16 * 1024

/** Does an issuer publish the keys, or are they configured? */
export const isIssuer = (keys: JwtKeys): keys is Issuer =>
  !('secret' in keys || 'publicKey' in keys || 'keys' in keys)

/**
 * Verifies JWTs (RFC 7519) with one algorithm for each key.
 * @param findKey by the header of a JWT
 */
export function createJwtVerifier(options: JwtChecks, findKey: FindKey): JwtVerifier {
  const { issuer, audience, accountClaim = 'sub', leewaySeconds = LEEWAY_SECONDS } = options

  function check(token: string, { alg }: jwt.JwtHeader, found: Key | undefined): JwtClaims | JwtRefusal {
    if (!found) return refuse('unknown_key')
    if (alg !== found.algorithm) return refuse('algorithm')
    try {
      const payload = jwt.verify(token, found.key, {
        algorithms: [found.algorithm],
        clockTolerance: leewaySeconds,
        ...(issuer === undefined ? {} : { issuer }),
        ...(audience === undefined ? {} : { audience }),
      })
      return readClaims(payload, accountClaim, leewaySeconds)
    } catch (error) {
      if (error instanceof jwt.TokenExpiredError) return { refused: 'expired', expired: true }
      if (error instanceof jwt.NotBeforeError) return refuse('not_yet_valid')
      if (error instanceof jwt.JsonWebTokenError) return refuse(failedCheck(error.message))
      // Any other error is one that a hostile token has caused in the parser.
      return refuse('malformed')
    }
  }

  return {
    verify(token) {
      const header = headerOf(token)
      if (!header) return refuse('malformed')
      if ('crit' in header) return refuse('crit')
      const found = findKey(header)
      return found instanceof Promise
        ? found.then((key) => check(token, header, key))
        : check(token, header, found)
    },
  }
}

/** What `jsonwebtoken` has found wrong, by how its message begins. The rest of it may hold what was expected. */
const FAILED_CHECKS: readonly [message: string, check: string][] = [
  ['jwt issuer invalid', 'issuer'],
  ['jwt audience invalid', 'audience'],
  ['invalid signature', 'signature'],
  ['jwt signature is required', 'signature'],
]

/** The check that failed, one of a few: it becomes a label of a metric. */
const failedCheck = (message: string): string =>
  FAILED_CHECKS.find(([start]) => message.startsWith(start))?.[1] ?? 'invalid'

/** The header of a JWT, before anybody has verified it. Null if it is none. */
function headerOf(token: string): jwt.JwtHeader | null {
  if (token.length > MAX_JWT || !isCanonical(token)) return null
  try {
    const header: unknown = jwt.decode(token, { complete: true })?.header
    return header !== null && typeof header === 'object' ? (header as jwt.JwtHeader) : null
  } catch {
    return null
  }
}

/**
 * Is the signature written in the only way in which base64url writes its bytes? Decoders ignore the unused bits of the
 * last character, so a token that was changed there would pass. All before the signature is signed as text.
 */
function isCanonical(token: string): boolean {
  const signature = token.slice(token.lastIndexOf('.') + 1)
  return Buffer.from(signature, 'base64url').toString('base64url') === signature
}

const refuse = (refused: string): JwtRefusal => ({ refused, expired: false })

function readClaims(payload: unknown, accountClaim: string, leewaySeconds: number): JwtClaims | JwtRefusal {
  if (payload === null || typeof payload !== 'object') return refuse('payload')
  const claims = payload as Record<string, unknown>
  if (typeof claims.exp !== 'number') return refuse('no_exp')
  const accountId = Object.hasOwn(claims, accountClaim) ? claims[accountClaim] : undefined
  const { sub: subject } = claims
  if (!isForeignId(subject)) return refuse('no_subject')
  return {
    accountId: isAccountId(accountId) ? accountId : null,
    subject,
    scopes: scopesOf(claims),
    expiresAt: (claims.exp + leewaySeconds) * 1000,
  }
}

/**
 * The claim `scope` (RFC 8693 has it as a text with spaces, others as an array), or else `scp`. One that is empty or
 * malformed holds none; null without either.
 */
function scopesOf(claims: Record<string, unknown>): string[] | null {
  const name = ['scope', 'scp'].find((claim) => Object.hasOwn(claims, claim))
  if (name === undefined) return null
  const claim = claims[name]
  const scopes: unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : []
  return scopes.filter((scope) => typeof scope === 'string').filter(isScope)
}

/**
 * Makes keys once.
 * @throws Error naming what is wrong with a key, never the key
 */
export function keyFinder(options: OwnKeys): FindKey {
  if ('secret' in options) {
    const key = secretKey(options.secret)
    return () => key
  }
  if ('publicKey' in options) {
    const key = publicKey(options.publicKey)
    return () => key
  }
  const keys = new Map(
    Object.entries(options.keys).map(([kid, text]) => [
      kid,
      text.includes('-----BEGIN') ? publicKey(text) : secretKey(text),
    ]),
  )
  if (keys.size === 0) throw new Error('holds no key')
  return ({ kid }) => (kid === undefined ? undefined : keys.get(kid))
}

function secretKey(secret: string): Key {
  const bytes = Buffer.from(secret)
  if (bytes.length < MIN_SECRET_BYTES) throw new Error(`must be at least ${MIN_SECRET_BYTES} bytes`)
  if (isKeyOfPair(secret)) throw new Error('must be a secret, not a key in PEM')
  return { key: createSecretKey(bytes), algorithm: 'HS256' }
}

/**
 * Is it a key of a pair, in PEM or only what stands between the lines of it, as some logins show their public key? As a
 * secret it would let everybody who knows the public key make JWTs.
 */
function isKeyOfPair(text: string): boolean {
  if (text.includes('-----BEGIN')) return true
  try {
    createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' })
    return true
  } catch {
    return false
  }
}

function publicKey(pem: string): Key {
  if (pem.includes('PRIVATE KEY')) throw new Error('must be a public key, not a private one')
  const key = parsePublicKey(pem)
  const algorithm = algorithmOf(key)
  if (algorithm !== null) return { key, algorithm }
  throw new Error('must be an RSA key of at least 2048 bits (RS256) or a P-256 key (ES256)')
}

function parsePublicKey(pem: string): KeyObject {
  try {
    return createPublicKey(pem)
  } catch {
    throw new Error('must be a public key in PEM')
  }
}
