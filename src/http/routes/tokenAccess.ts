import type { Context } from 'koa'
import type { Accepted } from '../../application/authentication/authenticate.ts'
import { type Clock, iso } from '../../application/ports/clock.ts'
import type { Gate } from '../../application/scheduling/gate.ts'
import type { CommandContext } from '../../application/tokens/execute.ts'
import type { Ceiling } from '../../domain/scopes.ts'
import type { AuthenticateRequest } from '../authentication/authenticate.ts'
import { readingWith } from '../authentication/authenticated.ts'
import { Problem, tokenMayNot } from '../problem.ts'
import { type RateLimit, rateLimited } from '../rateLimit.ts'
import { commandContext } from '../requestState.ts'

export interface AccessDependencies {
  authenticateRequest: AuthenticateRequest
  reads: Gate
  /** Changes by account, and those that a token makes to itself, by token. */
  limits: { writes: RateLimit; ownChanges: RateLimit }
  /** If set, nobody can give out scopes that they are known to lack. */
  scopeCeiling: boolean
  clock: Clock
}

type Writing = (ctx: Context, command: CommandContext, accepted: Accepted) => Promise<void>

/** The ways into the routes of tokens: who may, how often, and what is answered. */
export function tokenAccess({ authenticateRequest, reads, limits, scopeCeiling, clock }: AccessDependencies) {
  const now = () => iso(clock())
  const authenticated = readingWith(authenticateRequest)
  const reading = readingWith(authenticateRequest, reads)
  /** Nobody may be kept from revoking a token that they have, so a token revokes itself from any address. */
  const authenticatedAnywhere = readingWith((ctx) => {
    const { id } = ctx.params
    return authenticateRequest(ctx, (tokenId) => id === undefined || id === tokenId)
  })

  /** Only a JWT or a user may write. `own` is the one token that a token may change: itself. */
  const assertMayWrite = ({ principal: { kind, tokenId }, isReadOnly }: Accepted, own?: string): void => {
    if (kind === 'token' && tokenId !== own) {
      throw tokenMayNot('To create, change or revoke tokens')
    }
    if (isReadOnly) throw new Problem('read_only', 'You may look at tokens, and not change them.')
  }

  function assertWithin(ctx: Context, limit: RateLimit, caller: string): void {
    const quota = limit.count(caller)
    if (quota.exceeded) throw rateLimited(quota)
    ctx.set(quota.headers)
  }

  /** The rate is limited for each account. */
  const changing = (handle: Writing) =>
    authenticated(async (ctx, accepted) => {
      assertMayWrite(accepted)
      const { accountId } = accepted.principal
      assertWithin(ctx, limits.writes, accountId)
      await handle(ctx, commandContext(ctx, accepted), accepted)
    })

  /**
   * A token may revoke itself. The rate is not limited: somebody else could use a limit up, and so keep a stolen token
   * alive. The number of tokens bounds what revoking can cost.
   */
  const revoking = (handle: Writing) =>
    authenticatedAnywhere(async (ctx, accepted) => {
      assertMayWrite(accepted, ctx.params.id)
      await handle(ctx, commandContext(ctx, accepted), accepted)
    })

  /** For what a token may do to itself. The rate is limited for each token. */
  const changingItself = (handle: Writing) =>
    authenticated(async (ctx, accepted) => {
      const { tokenId } = accepted.principal
      if (tokenId === undefined) throw new Problem('not_found', 'No API token was sent.')
      assertWithin(ctx, limits.ownChanges, tokenId)
      ctx.params.id = tokenId
      await handle(ctx, commandContext(ctx, accepted), accepted)
    })

  /** `/self` stands for the token's own id. Other credentials have none. */
  const asSelfBy = (admitted: typeof authenticated) => (handle: (ctx: Context) => Promise<void>) =>
    admitted(async (ctx, { principal }) => {
      if (principal.tokenId === undefined) throw new Problem('not_found', 'No API token was sent.')
      ctx.params.id = principal.tokenId
      await handle(ctx)
    })
  const asSelf = asSelfBy(authenticated)
  const revokingSelf = asSelfBy(authenticatedAnywhere)

  const ceilingOf = ({ ceiling }: Accepted): Ceiling => (scopeCeiling ? ceiling : null)

  return { now, reading, changing, revoking, changingItself, asSelf, revokingSelf, ceilingOf }
}
