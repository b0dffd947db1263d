import type { Context } from 'koa'
import { askedMoment, type TokenAt } from '../../application/tokens/asOf.ts'
import type { Accepted } from '../../application/authentication/authenticate.ts'
import type { Gate } from '../../application/scheduling/gate.ts'
import type { CommandContext } from '../../application/tokens/execute.ts'
import { type Manage, targetOf } from '../../application/tokens/manage.ts'
import type { TokenInput } from '../../application/tokens/input.ts'
import { type Clock, iso } from '../../application/ports/clock.ts'
import type { ListQuery, Sort } from '../../application/tokens/query.ts'
import type { Queries } from '../../application/analytics/queries.ts'
import type { Ceiling } from '../../domain/scopes.ts'
import type { AuthenticateRequest } from '../authentication/authenticate.ts'
import { readJson } from '../input/body.ts'
import { idempotencyKeyOf, ifMatchOf } from '../input/conditional.ts'
import {
  presentEvent,
  presentPage,
  presentToken,
  presentTokenAt,
  type TokenLike,
} from '../../presentation/tokens.ts'
import { callerPath } from '../callerPath.ts'
import { Problem } from '../problem.ts'
import { type RateLimit, rateLimited } from '../rateLimit.ts'
import { queryOf, readingWith } from '../authentication/authenticated.ts'
import { sendJson } from '../route.ts'
import * as schemas from '../openapi/schemas.ts'
import { commandContext, concealed, requestStateOf } from '../requestState.ts'
import { camelCase, camelCased } from '../../presentation/names.ts'
import { bodyValidator, queryValidator } from '../input/validate.ts'

export interface TokenDependencies {
  authenticateRequest: AuthenticateRequest
  reads: Gate
  manage: Manage
  queries: Queries
  tokenAt: TokenAt
  writes: RateLimit
  /** If set, nobody can give out scopes that they are known to lack. */
  scopeCeiling: boolean
  clock: Clock
}

const parseList = queryValidator<Omit<ListQuery, 'sort'> & { sort: string }>(schemas.listQuery)
const parseRead = queryValidator<{ at?: string }>(schemas.readQuery)
const parsePage = queryValidator<{ limit: number; cursor?: string }>(schemas.pageQuery)
const parseRevoke = queryValidator<{ reason?: string }>(schemas.revokeQuery)
const parseNoQuery = queryValidator<object>(schemas.noQuery)
const parseCreate = bodyValidator<object>(schemas.createBody)
const parsePatch = bodyValidator<object>(schemas.patchBody)

/** Each handler has the same steps: credential, permission, look-up, input, use case, answer. */
export function tokenHandlers(deps: TokenDependencies) {
  const { authenticateRequest, reads, manage, queries, tokenAt, writes, scopeCeiling, clock } = deps
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

  function sendToken(ctx: Context, id: string, token: TokenLike, extra: object = {}): void {
    ctx.set('ETag', `"${token.revision}"`)
    sendJson(ctx, { ...presentToken(id, token, now()), ...extra })
  }

  const find = (ctx: Context, accountId: string) => queries.token(accountId, ctx.params.id)

  const list = reading(async (ctx, { principal }, gone) => {
    const { sort, ...query } = parseList(queryOf(ctx))
    const page = await queries.list(principal.accountId, { ...query, sort: camelCase(sort) as Sort }, gone)
    if (page.nextCursor !== null) ctx.set('Link', nextLink(ctx, page.nextCursor))
    const at = now()
    sendJson(
      ctx,
      presentPage(page, (token) => presentToken(token.id, token, at)),
    )
  })

  const ceilingOf = ({ ceiling }: Accepted): Ceiling => (scopeCeiling ? ceiling : null)

  const create = changing(async (ctx, command, accepted) => {
    const { accountId } = accepted.principal
    const key = idempotencyKeyOf(ctx)
    parseNoQuery(queryOf(ctx))
    const input = camelCased<TokenInput>(parseCreate(await readJson(ctx)))
    const { token, secret } = await manage.create(command, accountId, input, key, ceilingOf(accepted))
    if (secret === null) {
      ctx.set('Idempotency-Replayed', 'true')
      return sendToken(ctx, token.tokenId, await queries.token(accountId, token.tokenId))
    }
    ctx.status = 201
    ctx.set('Location', `${callerPath(ctx).replace(/\/$/, '')}/${token.tokenId}`)
    sendToken(ctx, token.tokenId, token, { token: secret })
  })

  const read = reading(async (ctx, { principal }) => {
    const token = await find(ctx, principal.accountId)
    const { at } = parseRead(queryOf(ctx))
    if (at === undefined) return sendToken(ctx, token.id, token)
    const then = await tokenAt(token, askedMoment(at))
    sendJson(ctx, presentTokenAt(token.id, then.token, then.at))
  })

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
    sendToken(ctx, token.id, { ...changed, lastAccessed })
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

  const events = reading(async (ctx, { principal }, gone) => {
    const { id } = await find(ctx, principal.accountId)
    const page = await queries.history(id, parsePage(queryOf(ctx)), gone)
    if (page.nextCursor !== null) ctx.set('Link', nextLink(ctx, page.nextCursor))
    sendJson(ctx, presentPage(page, presentEvent))
  })

  return { list, create, read, patch, revoke, events, asSelf }
}

/** RFC 8288: the same query, with the next cursor. */
function nextLink(ctx: Context, cursor: string): string {
  const params = queryOf(ctx)
  params.set('cursor', cursor)
  return `<${callerPath(ctx)}?${params}>; rel="next"`
}
