import { createIssuerKeys } from '../adapters/jwt/issuerKeys.ts'
import { createJwtVerifier, isIssuer, type JwtKeys, keyFinder } from '../adapters/jwt/verifier.ts'
import type { Metrics } from '../adapters/telemetry/metrics.ts'
import type { JwtVerifier } from '../application/ports/jwtVerifier.ts'
import { jwtChecksOf, type Settings } from '../settings/settings.ts'

/** The verifier of JWTs. An issuer is asked for its keys at once, so that the log says early what is wrong. */
export function startJwtVerifier(settings: Settings, keys: JwtKeys, { gauge, log }: Metrics): JwtVerifier {
  const checks = jwtChecksOf(settings)
  if (!isIssuer(keys)) return createJwtVerifier(checks, keyFinder(keys))
  const issuerKeys = createIssuerKeys(keys, { log })
  gauge(
    'issuer_keys_age_seconds',
    'How old the keys of the issuer of JWTs are; +Inf without any.',
    issuerKeys.age,
  )
  void issuerKeys.ask()
  return createJwtVerifier(checks, issuerKeys.find)
}
