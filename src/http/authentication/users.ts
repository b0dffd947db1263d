import type { Context } from 'koa'
import type { Accepted, Authenticator } from '../../application/authentication/authenticate.ts'
import { type User, userOf } from '../../application/authentication/user.ts'
import { HostError } from '../../application/ports/errors.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import type { CallerAddress } from '../callerAddress.ts'
import { strangerOf } from '../lineQuota.ts'
import { requestStateOf } from '../requestState.ts'
import { admit, type AuthenticateRequest } from './authenticate.ts'
import { assertSameOrigin } from './crossOrigin.ts'

interface Dependencies {
  authenticator: Authenticator
  /** Null: the host has no login of its own. */
  askUser: AskUser | null
  addressOf: CallerAddress
  log: Logger
}

/** Who is logged in to the host's app; null for nobody. */
export type AskUser = (ctx: Context) => Promise<User | null>

/**
 * Asks the host's own login.
 * @returns a function that throws HostError for whatever fails there, and Problem 403 for a page of another origin
 */
export function createAskUser(
  resolveUser: ((ctx: Context) => unknown) | undefined,
  trustedOrigins: readonly string[],
): AskUser | null {
  if (!resolveUser) return null
  const trusted = new Set(trustedOrigins)

  async function askHost(ctx: Context): Promise<User | null> {
    try {
      return userOf(await resolveUser?.(ctx))
    } catch (thrown) {
      throw new HostError(thrown)
    }
  }

  return async (ctx) => {
    const user = await askHost(ctx)
    if (user) assertSameOrigin(ctx.req, trusted)
    return user
  }
}

/**
 * As `authenticateRequest`. Also accepts a request without any credential if a user is logged in to the host's app.
 * This is for the routes that manage tokens, and for no others.
 */
export function withUsers(authenticateRequest: AuthenticateRequest, deps: Dependencies): AuthenticateRequest {
  const { authenticator, askUser, addressOf, log } = deps
  if (!askUser) return authenticateRequest

  async function byUser(ctx: Context, ask: AskUser): Promise<Accepted | null> {
    const user = await ask(ctx)
    if (!user) return null
    const state = requestStateOf(ctx)
    state.address = addressOf(ctx.req)
    const decision = await authenticator.authenticateUser(user)
    if (!('refused' in decision)) return admit(ctx, decision, authenticateRequest)
    const { requestId } = state
    log.info({ requestId, kind: 'user', ...strangerOf(ctx, decision.refused) }, 'credential refused')
    return null
  }

  return async (ctx, fromAnywhere) => (await authenticateRequest(ctx, fromAnywhere)) ?? byUser(ctx, askUser)
}
