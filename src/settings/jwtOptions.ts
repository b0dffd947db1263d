import { type JwtOptions, keyFinder, type OwnKeys } from '../adapters/jwt/verifier.ts'
import { isSecureUrl } from '../domain/secureUrl.ts'

const SOURCES = ['secret', 'publicKey', 'keys', 'jwksUrl']
const TEXTS = ['issuer', 'audience', 'accountClaim']
const MEMBERS = [...SOURCES, ...TEXTS, 'leewaySeconds']

/**
 * Checks the option `jwt`. A member that is not known is refused, since a misspelt `issuer` would not be
 * checked.
 * @throws Error that says what is wrong, without any value: one of them is a secret
 */
export function assertJwtOptions(given: unknown): asserts given is JwtOptions {
  if (given === null || typeof given !== 'object') throw new Error(`must be ${SHAPE}`)
  const options = given as Record<string, unknown>
  const isThere = (name: string): boolean => options[name] !== undefined
  const sources = SOURCES.filter(isThere)
  if (sources.length > 1 || (sources.length === 0 && !isThere('issuer'))) throw new Error(`must be ${SHAPE}`)
  for (const name of Object.keys(options))
    if (!MEMBERS.includes(name)) throw new Error(`must have no member but ${MEMBERS.join(', ')}`)
  const { secret, publicKey, keys, jwksUrl, issuer } = options
  const isPublished = sources.length === 0 || isThere('jwksUrl')
  const isSound = isPublished || (keys === undefined ? isKey(secret ?? publicKey) : isKeys(keys))
  if (!isSound) throw new Error(`must be ${SHAPE}`)
  for (const name of TEXTS.filter(isThere))
    if (typeof options[name] !== 'string' || options[name] === '')
      throw new Error(`must have a text as ${name}, if it has one`)
  if (isThere('leewaySeconds') && typeof options.leewaySeconds !== 'number')
    throw new Error('must have a number as leewaySeconds, if it has one')
  if (!isPublished) return void keyFinder(given as OwnKeys)
  if (!isText(issuer) || !isText(jwksUrl ?? issuer) || !isSecureUrl((jwksUrl ?? issuer) as string))
    throw new Error('must have an issuer, and an https URL (or http on this machine) where its keys are')
}

const SHAPE =
  '{ secret }, { publicKey } or { keys }, with keys that are text, { issuer, jwksUrl } or { issuer }'

const isKey = (value: unknown): boolean => typeof value === 'string' || value instanceof Uint8Array

const isKeys = (value: unknown): boolean =>
  value !== null && typeof value === 'object' && !Array.isArray(value) && Object.values(value).every(isText)

const isText = (value: unknown): boolean => typeof value === 'string'
