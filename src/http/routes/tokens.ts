import type { Context } from 'koa'
import { askedMoment, type TokenAt } from '../../application/asOf.ts'
import type { Accepted } from '../../application/authenticate.ts'
import type { Gate } from '../../application/gate.ts'
import type { CommandContext, Manage, Target, TokenInput } from '../../application/manage.ts'
import { type Clock, iso } from '../../application/ports.ts'
import type { ListQuery, Queries } from '../../application/query.ts'
import { MANAGEMENT_PATH } from '../../../projections/tokenActivity.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { statusAt } from '../../domain/token.ts'
import type { Judge } from '../authenticate.ts'
import { readJson } from '../body.ts'
import { idempotencyKeyOf, ifMatchOf } from '../conditional.ts'
import { presentEvent, presentPage, presentToken, presentTokenAt, type TokenLike } from '../present.ts'
import { Problem } from '../problem.ts'
import { type RateLimit, tooMany } from '../rateLimit.ts'
import { queryOf, readingWith } from '../reading.ts'
import { type Route, sendJson } from '../route.ts'
import * as schemas from '../schemas.ts'
import { commandContext, concealed, scopeOf } from '../scope.ts'
import { bodyValidator, queryValidator } from '../validate.ts'

export const TOKENS = MANAGEMENT_PATH

interface Dependencies {
  judge: Judge
  reads: Gate
  manage: Manage
  queries: Queries
  tokenAt: TokenAt
  writes: RateLimit
  clock: Clock
}

const parseList = queryValidator<ListQuery>(schemas.listQuery)
const parseRead = queryValidator<{ at?: string }>(schemas.readQuery)
const parsePage = queryValidator<{ limit: number; cursor?: string }>(schemas.pageQuery)
const parseRevoke = queryValidator<{ reason?: string }>(schemas.revokeQuery)
const parseNoQuery = queryValidator<object>(schemas.noQuery)
const parseCreate = bodyValidator<TokenInput>(schemas.createBody)
const parsePatch = bodyValidator<TokenInput>(schemas.patchBody)

/** The `/settings/api-tokens` table. Each handler goes credential, permission, look-up, input, use case, answer. */
export function tokenRoutes({
  judge,
  reads,
  manage,
  queries,
  tokenAt,
  writes,
  clock,
}: Dependencies): Route[] {
  const now = () => iso(clock())

  const authenticated = readingWith(judge)
  const reading = readingWith(judge, reads)

  type Writing = (ctx: Context, command: CommandContext, accountId: string) => Promise<void>

  /** Only a JWT may write; `own` is what a token may do it to, itself. */
  const assertMayWrite = ({ principal: { kind, tokenId } }: Accepted, own?: string): void => {
    if (kind === 'token' && tokenId !== own) {
      throw new Problem('token_may_not_manage', 'Use a JWT to create, change or revoke tokens.')
    }
  }

  /** Limited by account. */
  const changing = (handle: Writing) =>
    authenticated(async (ctx, accepted) => {
      assertMayWrite(accepted)
      const { accountId } = accepted.principal
      const quota = writes.count(accountId)
      if (quota.exceeded) throw tooMany(quota)
      ctx.set(quota.headers)
      await handle(ctx, commandContext(ctx, accepted), accountId)
    })

  /**
   * A token may revoke itself. Not limited: a limit that somebody else can use up would keep a stolen token alive. What
   * it can do is bounded by the tokens there are.
   */
  const revoking = (handle: Writing) =>
    authenticated(async (ctx, accepted) => {
      assertMayWrite(accepted, ctx.params.id)
      await handle(ctx, commandContext(ctx, accepted), accepted.principal.accountId)
    })

  /** `/self`: the token's own id; a JWT has no self. */
  const asSelf = (handle: (ctx: Context) => Promise<void>) =>
    authenticated(async (ctx, { principal }) => {
      if (principal.tokenId === undefined) throw new Problem('not_found', 'A JWT is no API token.')
      ctx.params.id = principal.tokenId
      await handle(ctx)
    })

  function sendToken(ctx: Context, id: string, token: TokenLike, extra: object = {}): void {
    ctx.set('ETag', `"${token.revision}"`)
    sendJson(ctx, { ...presentToken(id, token, now()), ...extra })
  }

  const find = (ctx: Context, accountId: string) => queries.token(accountId, ctx.params.id)
  const targetOf = (ctx: Context, token: TokenDocument): Target => ({
    tokenId: token.id,
    seen: token,
    ifMatch: ifMatchOf(ctx),
    damaged: statusAt(token, now()) === 'damaged',
  })

  const list = reading(async (ctx, { principal }, gone) => {
    const query = parseList(queryOf(ctx))
    const page = await queries.list(principal.accountId, query, gone)
    if (page.nextCursor !== null) ctx.set('Link', nextLink(ctx, page.nextCursor))
    const at = now()
    sendJson(
      ctx,
      presentPage(page, (token) => presentToken(token.id, token, at)),
    )
  })

  const create = changing(async (ctx, command, accountId) => {
    const key = idempotencyKeyOf(ctx)
    parseNoQuery(queryOf(ctx))
    const input = parseCreate(await readJson(ctx))
    const { token, secret } = await manage.create(command, accountId, input, key)
    if (secret === null) {
      ctx.set('Idempotency-Replayed', 'true')
      return sendToken(ctx, token.tokenId, await queries.token(accountId, token.tokenId))
    }
    ctx.status = 201
    ctx.set('Location', `${TOKENS}/${token.tokenId}`)
    sendToken(ctx, token.tokenId, token, { token: secret })
  })

  const read = reading(async (ctx, { principal }) => {
    const token = await find(ctx, principal.accountId)
    const { at } = parseRead(queryOf(ctx))
    if (at === undefined) return sendToken(ctx, token.id, token)
    const then = await tokenAt(token, askedMoment(at))
    sendJson(ctx, presentTokenAt(token.id, then.token, then.at))
  })

  const patch = changing(async (ctx, command, accountId) => {
    const token = await find(ctx, accountId)
    parseNoQuery(queryOf(ctx))
    const input = parsePatch(await readJson(ctx))
    const { lastAccessed = null } = token
    const changed = await manage.update(command, targetOf(ctx, token), input)
    sendToken(ctx, token.id, { ...changed, lastAccessed })
  })

  const revoke = revoking(async (ctx, command, accountId) => {
    const token = await find(ctx, accountId)
    const { reason = '' } = parseRevoke(queryOf(ctx))
    await manage.revoke(command, targetOf(ctx, token), concealed(scopeOf(ctx), reason) || null)
    ctx.status = 204
  })

  const events = reading(async (ctx, { principal }, gone) => {
    const { id } = await find(ctx, principal.accountId)
    const page = await queries.history(id, parsePage(queryOf(ctx)), gone)
    if (page.nextCursor !== null) ctx.set('Link', nextLink(ctx, page.nextCursor))
    sendJson(ctx, presentPage(page, presentEvent))
  })

  const token = (description: string) => ({
    description,
    schema: schemas.refTo('Token'),
    headers: { ETag: 'The revision in quotes.' },
  })
  const tokenNowOrThen = {
    description: 'The token as it is; with `at` as it was then, without an ETag.',
    schema: { anyOf: [schemas.refTo('Token'), schemas.refTo('TokenAt')] },
    headers: { ETag: 'The revision in quotes; not with `at`.' },
  }
  const page = (schema: 'TokenPage' | 'HistoryPage') => ({
    description: 'One page.',
    schema: schemas.refTo(schema),
    headers: { Link: 'The next page, `rel="next"`, where there is one.' },
  })
  const ifMatch = { 'If-Match': 'The ETag that the change is based on.' }
  const id = `${TOKENS}/:id`
  const self = `${TOKENS}/self`

  return [
    {
      method: 'get',
      path: TOKENS,
      operationId: 'listTokens',
      summary: "The account's tokens",
      who: 'any',
      query: schemas.listQuery,
      answers: { 200: page('TokenPage') },
      problems: ['validation_failed'],
      handle: list,
    },
    {
      method: 'post',
      path: TOKENS,
      operationId: 'createToken',
      summary: 'Create a token; its credential is in this answer only',
      who: 'jwt',
      query: schemas.noQuery,
      body: { schema: schemas.createBody, types: ['application/json', 'application/merge-patch+json'] },
      headers: {
        'Idempotency-Key': '1 to 255 visible ASCII characters: the same key and body make one token.',
      },
      answers: {
        200: {
          ...token('The token that this key made before, as it is now.'),
          headers: { ETag: 'The revision in quotes.', 'Idempotency-Replayed': '`true`' },
        },
        201: {
          description: 'Created.',
          schema: schemas.refTo('CreatedToken'),
          headers: { ETag: 'The revision in quotes.', Location: 'Path of the token.' },
        },
      },
      problems: ['invalid_idempotency_key', 'idempotency_key_reused', 'token_limit_reached', 'conflict'],
      handle: create,
    },
    {
      method: 'get',
      path: self,
      operationId: 'readSelf',
      summary: "The token's own resource",
      who: 'token',
      query: schemas.readQuery,
      answers: { 200: tokenNowOrThen },
      problems: ['not_found', 'token_damaged'],
      handle: asSelf(read),
    },
    {
      method: 'delete',
      path: self,
      operationId: 'revokeSelf',
      summary: 'Revoke the token that asks',
      who: 'token',
      query: schemas.revokeQuery,
      headers: ifMatch,
      answers: { 204: { description: 'Revoked.' } },
      problems: ['not_found', 'token_damaged', 'precondition_failed', 'conflict'],
      handle: asSelf(revoke),
    },
    {
      method: 'get',
      path: id,
      operationId: 'readToken',
      summary: 'One token; a revoked one too',
      who: 'any',
      query: schemas.readQuery,
      answers: { 200: tokenNowOrThen },
      problems: ['not_found', 'token_damaged'],
      handle: read,
    },
    {
      method: 'patch',
      path: id,
      operationId: 'updateToken',
      summary: 'Change name, expiry or scopes (RFC 7396)',
      who: 'jwt',
      query: schemas.noQuery,
      body: { schema: schemas.patchBody, types: ['application/merge-patch+json', 'application/json'] },
      headers: ifMatch,
      answers: { 200: token('The token as it is now.') },
      problems: [
        'not_found',
        'token_revoked',
        'token_damaged',
        'precondition_failed',
        'token_history_full',
        'token_limit_reached',
        'conflict',
      ],
      handle: patch,
    },
    {
      method: 'delete',
      path: id,
      operationId: 'revokeToken',
      summary: 'Revoke; again is the same',
      who: 'jwt or the token itself',
      query: schemas.revokeQuery,
      headers: ifMatch,
      answers: { 204: { description: 'Revoked: no request with this token is accepted any more.' } },
      problems: ['not_found', 'token_damaged', 'precondition_failed', 'conflict'],
      handle: revoke,
    },
    {
      method: 'get',
      path: `${id}/events`,
      operationId: 'tokenEvents',
      summary: 'History of one token, oldest first',
      who: 'any',
      query: schemas.pageQuery,
      answers: { 200: page('HistoryPage') },
      problems: ['not_found'],
      handle: events,
    },
  ]
}

/** RFC 8288: the same query with the next cursor. */
function nextLink(ctx: Context, cursor: string): string {
  const params = queryOf(ctx)
  params.set('cursor', cursor)
  return `<${ctx.path}?${params}>; rel="next"`
}
