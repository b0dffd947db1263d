import type { Context } from 'koa'
import type { Accepted, Authenticator } from '../../application/authentication/authenticate.ts'
import { type User, userOf } from '../../application/authentication/user.ts'
import { HostError } from '../../application/ports/errors.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import type { CallerAddress } from '../callerAddress.ts'
import { strangerOf } from '../lineQuota.ts'
import { scopeOf } from '../requestState.ts'
import { admit, type Judge } from './authenticate.ts'
import { assertSameOrigin } from './crossOrigin.ts'

interface Dependencies {
  authenticator: Authenticator
  /** The host's own login. */
  resolveUser: ((ctx: Context) => unknown) | undefined
  trustedOrigins: readonly string[]
  addressOf: CallerAddress
  log: Logger
}

/**
 * As `judge`, and for a request without any credential whoever is logged in to the host's app: for the routes where
 * tokens are managed, and no others.
 */
export function withUsers(judge: Judge, deps: Dependencies): Judge {
  const { authenticator, resolveUser, addressOf, log } = deps
  if (!resolveUser) return judge
  const trusted = new Set(deps.trustedOrigins)

  /** @throws HostError for whatever goes wrong there */
  async function askHost(ctx: Context): Promise<User | null> {
    try {
      return userOf(await resolveUser?.(ctx))
    } catch (thrown) {
      throw new HostError(thrown)
    }
  }

  async function byUser(ctx: Context): Promise<Accepted | null> {
    const user = await askHost(ctx)
    if (!user) return null
    assertSameOrigin(ctx.req, trusted)
    const scope = scopeOf(ctx)
    scope.address ??= addressOf(ctx.req)
    const decision = await authenticator.authenticateUser(user)
    if (!('refused' in decision)) return admit(ctx, decision)
    const { requestId } = scope
    log.info({ requestId, kind: 'user', ...strangerOf(ctx, decision.refused) }, 'credential refused')
    return null
  }

  return async (ctx) => (await judge(ctx)) ?? byUser(ctx)
}
