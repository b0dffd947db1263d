import type { Logger } from '../application/ports/telemetry.ts'
import { createCountedAuthentication } from '../application/usage/countedAuthentication.ts'
import { createRequestAuthentication } from '../http/authentication/authenticate.ts'
import { credentialReader } from '../http/authentication/credential.ts'
import { createAdmitOperator } from '../http/authentication/operators.ts'
import { createStillGood } from '../http/authentication/stillGood.ts'
import { type AskUser, createAcceptUser, createAskUser, withUsers } from '../http/authentication/users.ts'
import { callerAddress } from '../http/callerAddress.ts'
import { createRateLimit } from '../http/rateLimit.ts'
import type { Parts, UseCases } from './parts.ts'

/** Finds out who sends a request, by whatever they bring. */
export function requestsOf(
  { settings, clock, recorder, resolveUser }: Parts,
  { authenticator, activator }: Pick<UseCases, 'authenticator' | 'activator'>,
  log: Logger,
) {
  const addressOf = callerAddress({ hops: settings.trustProxyHops, from: settings.trustProxyFrom })
  const failures = createRateLimit('failures', settings.rateLimitFailuresPerMinute)
  const authenticate = createCountedAuthentication({
    authenticator,
    recorder,
    failures,
    onFirstUse: activator.activate,
    strict: settings.auditMode === 'strict',
    now: clock,
  })
  const { apiTokenHeader, tokenPrefix, acceptLegacyTokens } = settings
  const readCredential = credentialReader(apiTokenHeader, tokenPrefix, acceptLegacyTokens)
  const authenticateRequest = createRequestAuthentication({ authenticate, readCredential, addressOf, log })
  const askUser = createAskUser(resolveUser, settings.trustedOrigins)
  const acceptUser = createAcceptUser({ authenticator, addressOf, log })
  /** Those who may come to the management routes, with or without a login of the host. */
  const managersWith = (asked: AskUser | null) => {
    const common = { authenticator, readCredential, askUser: asked, addressOf }
    return {
      /** As `authenticateRequest`, and knows the users of the host's app. */
      managers: withUsers(authenticateRequest, asked, acceptUser),
      admitOperator: createAdmitOperator({ ...common, acceptUser, authenticateRequest }),
      stillGood: createStillGood({ ...common, clock, log }),
    }
  }
  return {
    addressOf,
    /** Limits bad credentials by the address that they come from. */
    failures,
    authenticate,
    authenticateRequest,
    askUser,
    acceptUser,
    ...managersWith(askUser),
    managersWith,
  }
}
