import jwt from 'jsonwebtoken'
import type { Settings } from './settings.ts'

/** A JWT as the host's login would make one, for development only. `ttl` is in seconds. */
export function developmentJwt(settings: Settings, secret: string, accountId: string, ttl: number): string {
  const { jwtAccountClaim, jwtIssuer, jwtAudience } = settings
  return jwt.sign({ sub: accountId, [jwtAccountClaim]: accountId }, secret, {
    algorithm: 'HS256',
    expiresIn: ttl,
    ...(jwtIssuer === undefined ? {} : { issuer: jwtIssuer }),
    ...(jwtAudience === undefined ? {} : { audience: jwtAudience }),
  })
}
