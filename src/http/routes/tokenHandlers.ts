import type { Context } from 'koa'
import { type Manage, targetOf } from '../../application/tokens/manage.ts'
import type { TokenInput } from '../../application/tokens/input.ts'
import { seenToken } from '../../application/eventLog/tokenStream.ts'
import { readJson } from '../input/body.ts'
import { idempotencyKeyOf, ifMatchOf } from '../input/conditional.ts'
import { callerPath } from '../callerPath.ts'
import { queryOf } from '../authentication/authenticated.ts'
import * as schemas from '../openapi/schemas.ts'
import { concealed, requestStateOf } from '../requestState.ts'
import { camelCased } from '../../presentation/names.ts'
import { bodyValidator, queryValidator } from '../input/validate.ts'
import { type AccessDependencies, tokenAccess } from './tokenAccess.ts'
import { type ListInput, type ReadDependencies, tokenReads } from './tokenReads.ts'

export interface TokenDependencies extends ReadDependencies, AccessDependencies {
  manage: Manage
}

const parseList = queryValidator<ListInput>(schemas.listQuery)
const parseRevoke = queryValidator<{ reason?: string }>(schemas.revokeQuery)
const parseNoQuery = queryValidator<object>(schemas.noQuery)
const parseCreate = bodyValidator<object>(schemas.createBody)
const parsePatch = bodyValidator<object>(schemas.patchBody)

/** Each handler has the same steps: credential, permission, look-up, input, use case, answer. */
export function tokenHandlers(deps: TokenDependencies) {
  const { manage, queries } = deps
  const answer = tokenReads(deps)
  const { now, reading, changing, revoking, asSelf, revokingSelf, ceilingOf } = tokenAccess(deps)

  const find = (ctx: Context, accountId: string) => queries.token(accountId, ctx.params.id)

  const list = reading((ctx, { principal }, gone) =>
    answer.list(ctx, principal.accountId, parseList(queryOf(ctx)), gone),
  )

  const create = changing(async (ctx, command, accepted) => {
    const { accountId } = accepted.principal
    const key = idempotencyKeyOf(ctx)
    parseNoQuery(queryOf(ctx))
    const input = camelCased<TokenInput>(parseCreate(await readJson(ctx)))
    const { token, secret } = await manage.create(command, accountId, input, key, ceilingOf(accepted))
    if (secret === null) {
      ctx.set('Idempotency-Replayed', 'true')
      return answer.send(ctx, token.tokenId, seenToken(await queries.token(accountId, token.tokenId)))
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

  return {
    list,
    create,
    read,
    patch,
    revoke,
    events,
    readSelf: asSelf(read),
    revokeSelf: revokingSelf(revoke),
  }
}
