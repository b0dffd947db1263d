import type { Context } from 'koa'
import type { Accepted, Authenticator, Decision } from '../../application/authentication/authenticate.ts'
import type { Clock } from '../../application/ports/clock.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import type { credentialReader } from './credential.ts'
import type { CallerAddress } from '../callerAddress.ts'
import type { AskUser } from './users.ts'

interface Dependencies {
  authenticator: Pick<Authenticator, 'authenticate' | 'authenticateUser'>
  readCredential: ReturnType<typeof credentialReader>
  /** Null: the host has no login of its own. */
  askUser: AskUser | null
  addressOf: CallerAddress
  clock: Clock
  log: Pick<Logger, 'warn'>
}

/** For an answer that takes long: would its request be accepted now, for the same account? */
export type StillGood = (ctx: Context, accepted: Accepted) => Promise<boolean>

/** While nobody can tell, what was accepted goes on. */
export function createStillGood(deps: Dependencies): StillGood {
  const { authenticator, readCredential, askUser, addressOf, clock, log } = deps

  async function decideAgain(ctx: Context): Promise<Decision | null> {
    const credential = readCredential(ctx.req)
    if (credential) return authenticator.authenticate(credential, { ip: addressOf(ctx.req) })
    const user = await askUser?.(ctx)
    return user ? authenticator.authenticateUser(user) : null
  }

  return async (ctx, { principal, expiresAt = Number.POSITIVE_INFINITY }) => {
    if (expiresAt <= clock()) return false
    try {
      const decision = await decideAgain(ctx)
      return (
        decision !== null && !('refused' in decision) && decision.principal.accountId === principal.accountId
      )
    } catch (err) {
      log.warn({ err }, 'whether the credential of a stream is still good could not be found out')
      return true
    }
  }
}
