import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import jwt from 'jsonwebtoken'
import type { JwtClaims, JwtVerifier } from '../../application/ports/jwtVerifier.ts'
import { isAccountId, isForeignId, isScope } from '../../domain/rules.ts'

/** Where JWT keys come from: one secret, one public key (PEM), or several of either by `kid`. */
export type JwtKeys = { secret: string } | { publicKey: string } | { keys: Record<string, string> }

export type JwtOptions = JwtKeys & {
  issuer?: string | undefined
  audience?: string | undefined
  /** The claim that names the account. Default `sub`. */
  accountClaim?: string | undefined
  /** By how many seconds the login's clock may differ, for `exp` and `nbf`: 0 to 60. Default 5. */
  leewaySeconds?: number | undefined
}

interface Key {
  key: KeyObject
  algorithm: jwt.Algorithm
}

export const LEEWAY_SECONDS = 5
const MIN_SECRET_BYTES = 32
const MIN_RSA_BITS = 2048
/** In characters: Node's default limit for all headers of a request together. Longer text is not even parsed. */
const MAX_JWT = 16 * 1024

/**
 * Verifies JWTs (RFC 7519) with keys made once and one algorithm for each.
 * @throws Error naming what is wrong with a key, never the key
 */
export function createJwtVerifier(options: JwtOptions): JwtVerifier {
  const findKey = keyFinder(options)
  const accountClaim = options.accountClaim ?? 'sub'
  const { issuer, audience, leewaySeconds = LEEWAY_SECONDS } = options

  return {
    verify(token) {
      if (token.length > MAX_JWT) return refuse('malformed')
      try {
        const header = jwt.decode(token, { complete: true })?.header
        if (!header) return refuse('malformed')
        if ('crit' in header) return refuse('crit')
        if (!isCanonical(token)) return refuse('malformed')
        const found = findKey(header.kid)
        if (!found) return refuse('unknown_key')
        const payload = jwt.verify(token, found.key, {
          algorithms: [found.algorithm],
          clockTolerance: leewaySeconds,
          ...(issuer === undefined ? {} : { issuer }),
          ...(audience === undefined ? {} : { audience }),
        })
        return readClaims(payload, accountClaim)
      } catch (error) {
        if (error instanceof jwt.TokenExpiredError) return { refused: 'expired', expired: true }
        if (error instanceof jwt.JsonWebTokenError) return refuse('invalid')
        // Any other error is one that a hostile token has caused in the parser.
        return refuse('malformed')
      }
    },
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

const refuse = (refused: string) => ({ refused, expired: false })

function readClaims(payload: unknown, accountClaim: string): JwtClaims | ReturnType<typeof refuse> {
  if (payload === null || typeof payload !== 'object') return refuse('payload')
  const claims = payload as Record<string, unknown>
  if (typeof claims.exp !== 'number') return refuse('no_exp')
  const accountId = Object.hasOwn(claims, accountClaim) ? claims[accountClaim] : undefined
  const { sub: subject } = claims
  if (!isForeignId(subject) || !isAccountId(accountId)) return refuse('no_account_claim')
  return { accountId, subject, scopes: scopesOf(claims) }
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

function keyFinder(options: JwtKeys): (kid: string | undefined) => Key | undefined {
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
  return (kid) => (kid === undefined ? undefined : keys.get(kid))
}

function secretKey(secret: string): Key {
  const bytes = Buffer.from(secret)
  if (bytes.length < MIN_SECRET_BYTES) throw new Error(`must be at least ${MIN_SECRET_BYTES} bytes`)
  return { key: createSecretKey(bytes), algorithm: 'HS256' }
}

function publicKey(pem: string): Key {
  if (pem.includes('PRIVATE KEY')) throw new Error('must be a public key, not a private one')
  const key = parsePublicKey(pem)
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= MIN_RSA_BITS) return { key, algorithm: 'RS256' }
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return { key, algorithm: 'ES256' }
  throw new Error(`must be an RSA key of at least ${MIN_RSA_BITS} bits (RS256) or a P-256 key (ES256)`)
}

function parsePublicKey(pem: string): KeyObject {
  try {
    return createPublicKey(pem)
  } catch {
    throw new Error('must be a public key in PEM')
  }
}
