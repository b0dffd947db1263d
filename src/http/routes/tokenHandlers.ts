import type { Context } from 'koa'
import type { Accepted } from '../../application/authentication/authenticate.ts'
import type { Gate } from '../../application/scheduling/gate.ts'
import type { CommandContext } from '../../application/tokens/execute.ts'
import { type Manage, targetOf } from '../../application/tokens/manage.ts'
import type { TokenInput } from '../../application/tokens/input.ts'
import { iso } from '../../application/ports/clock.ts'
import type { Ceiling } from '../../domain/scopes.ts'
import type { AuthenticateRequest } from '../authentication/authenticate.ts'
import { readJson } from '../input/body.ts'
import { idempotencyKeyOf, ifMatchOf } from '../input/conditional.ts'
import { callerPath } from '../callerPath.ts'
import { Problem } from '../problem.ts'
import { type RateLimit, rateLimited } from '../rateLimit.ts'
import { queryOf, readingWith } from '../authentication/authenticated.ts'
import * as schemas from '../openapi/schemas.ts'
import { commandContext, concealed, requestStateOf } from '../requestState.ts'
import { camelCased } from '../../presentation/names.ts'
import { bodyValidator, queryValidator } from '../input/validate.ts'
import { type ListInput, type ReadDependencies, tokenReads } from './tokenReads.ts'

export interface TokenDependencies extends ReadDependencies {
  authenticateRequest: AuthenticateRequest
  reads: Gate
  manage: Manage
  writes: RateLimit
  /** If set, nobody can give out scopes that they are known to lack. */
  scopeCeiling: boolean
}

const parseList = queryValidator<ListInput>(schemas.listQuery)
const parseRevoke = queryValidator<{ reason?: string }>(schemas.revokeQuery)
const parseNoQuery = queryValidator<object>(schemas.noQuery)
const parseCreate = bodyValidator<object>(schemas.createBody)
const parsePatch = bodyValidator<object>(schemas.patchBody)

/** Each handler has the same steps: credential, permission, look-up, input, use case, answer. */
export function tokenHandlers(deps: TokenDependencies) {
  const { authenticateRequest, reads, manage, queries, writes, scopeCeiling, clock } = deps
  const answer = tokenReads(deps)
  const now = () => iso(clock())

  const authenticated = readingWith(authenticateRequest)
  const reading = readingWith(authenticateRequest, reads)

  type Writing = (ctx: Context, command: CommandContext, accepted: Accepted) => Promise<void>

  /** Only a JWT or a user may write. `own` is the one token that a token may change: itself. */
  const assertMayWrite = ({ principal: { kind, tokenId }, isReadOnly }: Accepted, own?: string): void => {
    if (kind === 'token' && tokenId !== own) {
      throw new Problem('token_may_not_manage', 'Use a JWT to create, change or revoke tokens.')
    }
    if (isReadOnly) throw new Problem('read_only', 'You may look at tokens, and not change them.')
  }

  /** The rate is limited for each account. */
  const changing = (handle: Writing) =>
    authenticated(async (ctx, accepted) => {
      assertMayWrite(accepted)
      const { accountId } = accepted.principal
      const quota = writes.count(accountId)
      if (quota.exceeded) throw rateLimited(quota)
      ctx.set(quota.headers)
      await handle(ctx, commandContext(ctx, accepted), accepted)
    })

  /**
   * A token may revoke itself. The rate is not limited: somebody else could use a limit up, and so keep a stolen token
   * alive. The number of tokens bounds what revoking can cost.
   */
  const revoking = (handle: Writing) =>
    authenticated(async (ctx, accepted) => {
      assertMayWrite(accepted, ctx.params.id)
      await handle(ctx, commandContext(ctx, accepted), accepted)
    })

  /** `/self` stands for the token's own id. Other credentials have none. */
  const asSelf = (handle: (ctx: Context) => Promise<void>) =>
    authenticated(async (ctx, { principal }) => {
      if (principal.tokenId === undefined) throw new Problem('not_found', 'No API token was sent.')
      ctx.params.id = principal.tokenId
      await handle(ctx)
    })

  const find = (ctx: Context, accountId: string) => queries.token(accountId, ctx.params.id)

  const list = reading((ctx, { principal }, gone) =>
    answer.list(ctx, principal.accountId, parseList(queryOf(ctx)), gone),
  )

  const ceilingOf = ({ ceiling }: Accepted): Ceiling => (scopeCeiling ? ceiling : null)

  const create = changing(async (ctx, command, accepted) => {
    const { accountId } = accepted.principal
    const key = idempotencyKeyOf(ctx)
    parseNoQuery(queryOf(ctx))
    const input = camelCased<TokenInput>(parseCreate(await readJson(ctx)))
    const { token, secret } = await manage.create(command, accountId, input, key, ceilingOf(accepted))
    if (secret === null) {
      ctx.set('Idempotency-Replayed', 'true')
      return answer.send(ctx, token.tokenId, await queries.token(accountId, token.tokenId))
    }
    ctx.status = 201
    ctx.set('Location', `${callerPath(ctx).replace(/\/$/, '')}/${token.tokenId}`)
    answer.send(ctx, token.tokenId, token, { token: secret })
  })

  const read = reading(async (ctx, { principal }) => answer.token(ctx, await find(ctx, principal.accountId)))

  const patch = changing(async (ctx, command, accepted) => {
    const token = await find(ctx, accepted.principal.accountId)
    parseNoQuery(queryOf(ctx))
    const input = camelCased<TokenInput>(parsePatch(await readJson(ctx)))
    const { lastAccessed = null } = token
    const changed = await manage.update(
      command,
      targetOf(token, ifMatchOf(ctx), now()),
      input,
      ceilingOf(accepted),
    )
    answer.send(ctx, token.id, { ...changed, lastAccessed })
  })

  const revoke = revoking(async (ctx, command, { principal }) => {
    const token = await find(ctx, principal.accountId)
    const { reason = '' } = parseRevoke(queryOf(ctx))
    await manage.revoke(
      command,
      targetOf(token, ifMatchOf(ctx), now()),
      concealed(requestStateOf(ctx), reason) || null,
    )
    ctx.status = 204
  })

  const events = reading(async (ctx, { principal }, gone) =>
    answer.events(ctx, await find(ctx, principal.accountId), gone),
  )

  return { list, create, read, patch, revoke, events, asSelf }
}
