import type { Context, Middleware } from 'koa'
import { iso } from '../../application/ports/clock.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import type { Asker, Gate } from '../../application/scheduling/gate.ts'
import { type Manage, targetOf } from '../../application/tokens/manage.ts'
import type { Revoked, RevokeMany } from '../../application/tokens/revocations.ts'
import type { Operator } from '../../domain/principal.ts'
import { presentRevocations } from '../../presentation/revocations.ts'
import { queryOf, whileWaitedFor } from '../authentication/authenticated.ts'
import { jsonReader } from '../input/body.ts'
import type { AdmitOperator } from '../authentication/operators.ts'
import { ifMatchOf } from '../input/conditional.ts'
import { bodyValidator, invalid, queryValidator } from '../input/validate.ts'
import * as operatorSchemas from '../openapi/operatorSchemas.ts'
import * as schemas from '../openapi/schemas.ts'
import { Problem, type SendProblem } from '../problem.ts'
import { contextOf, requestStateOf } from '../requestState.ts'
import { isReadable, unreadable } from '../requestTarget.ts'
import { type Route, routerOf, sendJson } from '../route.ts'
import { type FeedDependencies, feedHandler, feedRow } from './feed.ts'
import { type ListInput, type ReadDependencies, tokenReads } from './tokenReads.ts'

interface Dependencies extends ReadDependencies {
  feed: FeedDependencies
  /** For an answer that takes long: would the request be accepted now? */
  admitOperator: AdmitOperator
  log: Pick<Logger, 'warn'>
  reads: Gate
  manage: Manage
  revokeMany: RevokeMany
}

const ADMIN = '/admin'
const TOKENS = `${ADMIN}/api-tokens`

const parseList = queryValidator<ListInput & { account?: string }>(operatorSchemas.allTokensQuery)
const parseRevoke = queryValidator<{ reason?: string }>(schemas.revokeQuery)
const parseNoQuery = queryValidator<object>(schemas.noQuery)
const parseRevocations = bodyValidator<RevocationsInput>(operatorSchemas.revocationsBody)
/** Room for 1,000 secrets. */
const readLongJson = jsonReader(256 * 1024)

interface RevocationsInput {
  account_id?: string
  ids?: string[]
  credentials?: string[]
  reason: string
  dry_run: boolean
}

const OF_OPERATORS: Asker = { name: () => 'operators', left: () => 8 }

/**
 * Lets operators, and nobody else, come to what is under `/admin/`: whoever is none cannot even find out which paths
 * there are.
 * @param at the path that takes the place of `/admin`
 */
export function operatorMiddleware(
  routes: readonly Route[],
  admitOperator: AdmitOperator,
  sendProblem: SendProblem,
  at = ADMIN,
): Middleware {
  const moved = routes.map((route) => ({ ...route, path: at + route.path.slice(ADMIN.length) }))
  const router = routerOf(moved, sendProblem)
  return async (ctx, next) => {
    if (!isReadable(ctx)) return sendProblem(ctx, unreadable())
    if (!ctx.path.startsWith(`${at}/`)) return next()
    try {
      await admitOperator(ctx)
    } catch (error) {
      return sendProblem(ctx, error)
    }
    await router(ctx, async () => sendProblem(ctx, new Problem('not_found', 'There is nothing here.')))
  }
}

/** The table of `/admin`. Its handlers run for operators only. */
export function operatorRoutes(deps: Dependencies): Route[] {
  const { reads, manage, revokeMany, queries, clock } = deps
  const answer = tokenReads(deps)
  const find = (ctx: Context) => queries.token(null, ctx.params.id)

  const reading = (handle: (ctx: Context, gone: AbortSignal) => Promise<void>) => (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    return whileWaitedFor(ctx, (gone) => reads.run(() => handle(ctx, gone), OF_OPERATORS))
  }

  const revoking = (handle: (ctx: Context, by: Operator) => Promise<void>) => async (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    const operator = operatorOf(ctx)
    if (operator.isReadOnly) throw new Problem('read_only', 'You may look at tokens, and not change them.')
    await handle(ctx, operator)
  }
  const commandOf = (ctx: Context, { subject }: Operator) => contextOf(ctx, { kind: 'operator', id: subject })

  const list = reading((ctx, gone) => {
    const { account = null, ...query } = parseList(queryOf(ctx))
    return answer.list(ctx, account, query, gone)
  })

  const revoke = revoking(async (ctx, by) => {
    const token = await find(ctx)
    const { reason = '' } = parseRevoke(queryOf(ctx))
    await manage.revoke(commandOf(ctx, by), targetOf(token, ifMatchOf(ctx), iso(clock())), reason || null)
    ctx.status = 204
  })

  const revocations = revoking(async (ctx, by) => {
    parseNoQuery(queryOf(ctx))
    const input = parseRevocations(await readLongJson(ctx))
    const how = { reason: input.reason, isDryRun: input.dry_run }
    sendJson(ctx, presentRevocations(await revokeMany(commandOf(ctx, by), whichOf(input), how)))
  })

  /** While nobody can tell, an operator goes on. */
  const stillGood = async (ctx: Context, expiresAt = Number.POSITIVE_INFINITY): Promise<boolean> => {
    if (expiresAt <= clock()) return false
    try {
      await deps.admitOperator(ctx)
      return true
    } catch (err) {
      if (err instanceof Problem && err.status < 500) return false
      deps.log.warn({ err }, 'whether the credential of a stream is still good could not be found out')
      return true
    }
  }

  const answerFeed = feedHandler(deps.feed)
  const events = (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    const { subject, expiresAt } = operatorOf(ctx)
    const reader = {
      accountId: null,
      // No account has such a name.
      name: `\u0000${subject}`,
      asker: OF_OPERATORS,
      expiresAt,
      isStillGood: () => stillGood(ctx, expiresAt),
    }
    return whileWaitedFor(ctx, (gone) => answerFeed(ctx, reader, gone))
  }

  const page = { headers: { Link: 'The next page, `rel="next"`, where there is one.' } }
  const next = { cursor: '$response.body#/next_cursor' }
  const read = { method: 'get' as const, who: 'operator' as const }
  const id = `${TOKENS}/:id`
  return [
    {
      ...feedRow,
      path: `${ADMIN}/events`,
      operationId: 'allEvents',
      summary:
        'What happened to the tokens of all accounts, in the order of the log: a page, or as it happens',
      who: 'operator',
      handle: events,
    },
    {
      ...read,
      path: TOKENS,
      operationId: 'listAllTokens',
      summary: 'The tokens of all accounts',
      query: operatorSchemas.allTokensQuery,
      answers: {
        200: {
          description: 'One page.',
          schema: schemas.refTo('TokenPage'),
          ...page,
          links: { next: { operationId: 'listAllTokens', parameters: next } },
        },
      },
      problems: [],
      handle: list,
    },
    {
      ...read,
      path: id,
      operationId: 'readAnyToken',
      summary: 'One token of any account',
      query: schemas.readQuery,
      answers: {
        200: {
          description: 'The token as it is; with `at` as it was then, without an ETag.',
          schema: { anyOf: [schemas.refTo('Token'), schemas.refTo('TokenAt')] },
          headers: { ETag: 'The revision in quotes; not with `at`.' },
        },
      },
      problems: ['token_damaged'],
      handle: reading(async (ctx) => answer.token(ctx, await find(ctx))),
    },
    {
      method: 'delete',
      path: id,
      operationId: 'revokeAnyToken',
      summary: 'Revoke a token of any account; again is the same',
      who: 'operator',
      query: schemas.revokeQuery,
      headers: { 'If-Match': 'The ETag that the change is based on.' },
      answers: { 204: { description: 'Revoked: no request with this token is accepted any more.' } },
      problems: ['token_damaged', 'precondition_failed', 'conflict'],
      handle: revoke,
    },
    {
      ...read,
      path: `${id}/events`,
      operationId: 'anyTokenEvents',
      summary: 'History of one token, oldest first',
      query: schemas.pageQuery,
      answers: {
        200: {
          description: 'One page.',
          schema: schemas.refTo('HistoryPage'),
          ...page,
          links: {
            next: { operationId: 'anyTokenEvents', parameters: { id: '$request.path.id', ...next } },
          },
        },
      },
      problems: [],
      handle: reading(async (ctx, gone) => answer.events(ctx, await find(ctx), gone)),
    },
    {
      ...read,
      path: `${id}/usage`,
      operationId: 'anyTokenUsage',
      summary: 'Usage of one token',
      query: schemas.usageQuery,
      answers: { 200: { description: 'Counts.', schema: schemas.refTo('TokenUsage') } },
      problems: [],
      handle: reading(async (ctx, gone) => answer.usage(ctx, await find(ctx), gone)),
    },
    {
      ...read,
      path: `${id}/blast-radius`,
      operationId: 'anyBlastRadius',
      summary: 'Everything that a token did: routes, addresses, agents, hours, and what it caused',
      query: schemas.sinceQuery,
      answers: { 200: { description: 'Counts.', schema: schemas.refTo('BlastRadius') } },
      problems: [],
      handle: reading(async (ctx, gone) => answer.blastRadius(ctx, await find(ctx), gone)),
    },
    {
      method: 'post',
      path: `${ADMIN}/revocations`,
      operationId: 'revokeTokens',
      summary: 'Revoke all tokens of an account, or those with these ids or secrets; or say what would go',
      who: 'operator',
      query: schemas.noQuery,
      body: {
        schema: operatorSchemas.revocationsBody,
        types: ['application/json'],
        example: { account_id: 'acct_1', reason: 'left the company', dry_run: true },
      },
      answers: {
        200: {
          description: 'What became of each, in the order of the input.',
          schema: operatorSchemas.revocations,
        },
      },
      problems: [],
      handle: revocations,
    },
  ]
}

/** Nobody else comes to these routes. */
function operatorOf(ctx: Context): Operator {
  const { caller } = requestStateOf(ctx)
  if (caller?.kind === 'operator') return caller
  throw new Error('a route of operators was reached without one')
}

/** @throws Problem 422 unless exactly one of the three is there */
function whichOf({ account_id: accountId, ids, credentials }: RevocationsInput): Revoked {
  const named: Revoked[] = []
  if (accountId !== undefined) named.push({ accountId })
  if (ids) named.push({ ids })
  if (credentials) named.push({ credentials })
  const [which] = named
  if (which && named.length === 1) return which
  throw invalid([{ pointer: '', message: 'must have exactly one of account_id, ids and credentials' }])
}
