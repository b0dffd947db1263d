import type { Accepted, Source } from '../application/authentication/authenticate.ts'
import { HostError, RateLimitedError } from '../application/ports/errors.ts'
import type { CountedAuthentication, Purpose } from '../application/usage/countedAuthentication.ts'
import { canonicalAddress } from '../domain/address.ts'
import { LOOKED_AT } from '../domain/credential.ts'
import { assertKnown } from '../http/knownOptions.ts'
import type { Quota } from '../http/rateLimit.ts'
import { isMethod, usedPath } from '../http/usedRequest.ts'

/** What a credential is used for, as usage shows it. */
export interface VerifyOptions {
  /** The method of the request. Default: `CALL`. */
  method?: string | null
  /** The route's pattern, like `/orders/:id`, or its path. A query string is not kept. Default: `verify()`. */
  route?: string | null
  /**
   * The caller's address. If it is given, bad credentials count against it. Default: unknown; then a token that is bound
   * to addresses is not good.
   */
  ip?: string | null
  /** Default: unknown. */
  userAgent?: string | null
}

const KNOWN = ['method', 'route', 'ip', 'userAgent'] satisfies (keyof VerifyOptions)[]

/**
 * Decides as the HTTP routes do, for a credential that came in another way. Null for one that is not good.
 * @throws TypeError for options that are none
 */
export async function verifyCredential(
  authenticate: CountedAuthentication<Quota>,
  credential: { kind: 'token' | 'jwt'; value: string },
  given: VerifyOptions | null,
): Promise<Accepted | null> {
  const options = given ?? {}
  assertKnown('verify', options, KNOWN)
  const { ip, ...purpose } = purposeOf(options)
  try {
    const decision = await authenticate({
      credential,
      ip,
      purpose: () => purpose,
      // How the request ends is not known here.
      onAccepted: (count) => count('accepted'),
      isLimited: (options.ip ?? null) !== null,
    })
    if (!('refused' in decision)) return decision
    if (decision.over) throw new RateLimitedError(Number(decision.over.headers['Retry-After'] ?? 1))
    return null
  } catch (error) {
    throw error instanceof HostError ? error.cause : error
  }
}

/** @throws TypeError for what is neither text nor left out */
function purposeOf(options: VerifyOptions): Purpose & Source {
  const textOf = (name: keyof VerifyOptions): string => {
    const value: unknown = options[name] ?? ''
    if (typeof value === 'string') return value
    throw new TypeError(`verify(credential, { ${name} }): ${name} must be text`)
  }
  const verb = textOf('method').toUpperCase()
  return {
    method: isMethod(verb) ? verb : 'CALL',
    route: usedPath(textOf('route')) || 'verify()',
    ip: canonicalAddress(textOf('ip')),
    userAgent: textOf('userAgent').slice(0, LOOKED_AT) || null,
  }
}
