import { type JwtKeys, keyFinder, type OwnKeys } from '../adapters/jwt/verifier.ts'
import { isSecureUrl } from '../domain/secureUrl.ts'
import { readText, textsByName } from './jsonFile.ts'

const OWN_KEYS = ['JWT_SECRET', 'JWT_PUBLIC_KEY_FILE', 'JWT_KEYS_FILE'] as const
const SOURCES = [...OWN_KEYS, 'JWT_JWKS_URL'] as const
/** The settings that can say where JWT keys are. */
export const JWT_SOURCES = [...SOURCES, 'JWT_ISSUER'] as const

/**
 * The keys that the environment names; null if it names none. More than one source of keys is a problem. An issuer is
 * one only by itself: beside keys it says what `iss` must be.
 */
export function readJwtKeys(env: Record<string, string | undefined>, problems: string[]): JwtKeys | null {
  const given = SOURCES.filter((name) => env[name])
  if (given.length > 1) problems.push(`${given.join(' and ')} exclude each other`)
  const [name] = given
  if (name === undefined) return discoveredKeys(env.JWT_ISSUER, problems)
  const text = env[name] as string
  if (name === 'JWT_JWKS_URL') return publishedKeys(text, env.JWT_ISSUER, problems)
  try {
    const keys = name === 'JWT_SECRET' ? { secret: text } : readKeyFile(name, text)
    keyFinder(keys)
    return keys
  } catch (error) {
    problems.push(`${name} ${(error as Error).message}`)
    return null
  }
}

const SECURE = 'must be an https URL, or http on this machine'

function discoveredKeys(issuer: string | undefined, problems: string[]): JwtKeys | null {
  if (!issuer) return null
  if (!isSecureUrl(issuer))
    problems.push(`JWT_ISSUER ${SECURE}, since no other setting names a key: keys are looked up there`)
  return { issuer }
}

function publishedKeys(jwksUrl: string, issuer: string | undefined, problems: string[]): JwtKeys | null {
  if (!isSecureUrl(jwksUrl)) problems.push(`JWT_JWKS_URL ${SECURE}`)
  if (issuer) return { issuer, jwksUrl }
  problems.push('JWT_ISSUER must be set beside JWT_JWKS_URL')
  return null
}

function readKeyFile(name: 'JWT_PUBLIC_KEY_FILE' | 'JWT_KEYS_FILE', path: string): OwnKeys {
  const text = readText(path)
  return name === 'JWT_PUBLIC_KEY_FILE' ? { publicKey: text } : { keys: textsByName(text, 'kid to key') }
}
