import jwt from 'jsonwebtoken'
import type { Settings } from './settings.ts'

/**
 * A JWT as the host's login would make it, for development only. `ttl` is in seconds.
 * @param scopes for the claim `scope`, which is left out if there are none
 */
export function developmentJwt(
  settings: Settings,
  secret: string,
  accountId: string,
  ttl: number,
  scopes: readonly string[] = [],
): string {
  const { jwtAccountClaim, jwtIssuer, jwtAudience } = settings
  const scope = scopes.length === 0 ? {} : { scope: scopes.join(' ') }
  return jwt.sign({ ...scope, sub: accountId, [jwtAccountClaim]: accountId }, secret, {
    algorithm: 'HS256',
    expiresIn: ttl,
    ...(jwtIssuer === undefined ? {} : { issuer: jwtIssuer }),
    ...(jwtAudience === undefined ? {} : { audience: jwtAudience }),
  })
}
