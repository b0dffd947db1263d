import type { Accepted } from '../application/authentication/authenticate.ts'
import { HostError, RateLimitedError } from '../application/ports/errors.ts'
import type { CountedAuthentication, Purpose } from '../application/usage/countedAuthentication.ts'
import { canonicalAddress } from '../domain/address.ts'
import { LOOKED_AT } from '../domain/credential.ts'
import type { Quota } from '../http/rateLimit.ts'
import { isMethod, usedPath } from '../http/usedRequest.ts'

/** What a credential is used for, as usage shows it. */
export interface VerifyOptions {
  /** Of the request. Default: `CALL`. */
  method?: string
  /** Its pattern, like `/orders/:id`, or its path; a query string is not kept. Default: `verify()`. */
  route?: string
  /** Address of the caller. With it, bad credentials count against that address. Default: unknown. */
  ip?: string | null
  /** Default: unknown. */
  userAgent?: string | null
}

/** The decision of the HTTP doors, for a credential that came by another one; null for one that is not good. */
export async function verifyCredential(
  authenticate: CountedAuthentication<Quota>,
  credential: { kind: 'token' | 'jwt'; value: string },
  options: VerifyOptions,
): Promise<Accepted | null> {
  const purpose = purposeOf(options)
  try {
    const decision = await authenticate({
      credential,
      purpose: () => purpose,
      // What becomes of it is not known here.
      onAccepted: (count) => count('accepted'),
      limited: (options.ip ?? null) === null ? 'not' : { address: purpose.ip },
    })
    if (!('refused' in decision)) return decision
    if (decision.over) throw new RateLimitedError(Number(decision.over.headers['Retry-After'] ?? 1))
    return null
  } catch (error) {
    throw error instanceof HostError ? error.cause : error
  }
}

function purposeOf({ method = '', route = '', ip, userAgent }: VerifyOptions): Purpose {
  const verb = method.toUpperCase()
  return {
    method: isMethod(verb) ? verb : 'CALL',
    route: usedPath(route) || 'verify()',
    ip: canonicalAddress(ip ?? ''),
    userAgent: (userAgent ?? '').slice(0, LOOKED_AT) || null,
  }
}
