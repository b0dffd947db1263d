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

/** Somebody who is logged in. */
export interface LoggedIn extends User {
  /** By a session of the page, which may be older than the closing of its account. */
  hasSession?: true
}

/** Who is logged in to the host's app, or to the page; null for nobody. */
export type AskUser = (ctx: Context) => Promise<LoggedIn | null>

/** @returns null for a user without an account, and then a line in the log says so */
export type AcceptUser = (ctx: Context, user: User) => Promise<Accepted | null>

interface Dependencies {
  authenticator: Pick<Authenticator, 'authenticateUser'>
  addressOf: CallerAddress
  log: Logger
}

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

export const createAcceptUser =
  ({ authenticator, addressOf, log }: Dependencies): AcceptUser =>
  async (ctx, user) => {
    const state = requestStateOf(ctx)
    state.address = addressOf(ctx.req)
    const decision = await authenticator.authenticateUser(user)
    if (!('refused' in decision)) return decision
    const { requestId } = state
    log.info({ requestId, kind: 'user', ...strangerOf(ctx, decision.refused) }, 'credential refused')
    return null
  }

/**
 * As `authenticateRequest`. Also accepts a request without any credential if a user is logged in to the host's app.
 * This is for the routes that manage tokens, and for no others.
 * @param askUser null: the host has no login of its own
 */
export function withUsers(
  authenticateRequest: AuthenticateRequest,
  askUser: AskUser | null,
  acceptUser: AcceptUser,
): AuthenticateRequest {
  if (!askUser) return authenticateRequest

  async function byUser(ctx: Context, ask: AskUser): Promise<Accepted | null> {
    const user = await ask(ctx)
    const accepted = user && (await acceptUser(ctx, user))
    return accepted && admit(ctx, accepted, authenticateRequest)
  }

  return async (ctx, fromAnywhere) => (await authenticateRequest(ctx, fromAnywhere)) ?? byUser(ctx, askUser)
}
