import type { Context } from 'koa'
import type { Gate } from '../../application/scheduling/gate.ts'
import { type Clock, iso } from '../../application/ports/clock.ts'
import type { Queries } from '../../application/analytics/queries.ts'
import type { UsageRange } from '../../application/analytics/buckets.ts'
import { routeFilter } from '../../application/analytics/routeFilter.ts'
import type { UsageOptions } from '../../application/analytics/usage.ts'
import { type RangeInput, sinceTime, usageRange } from '../../application/analytics/range.ts'
import { MANAGEMENT_PATH as TOKENS } from '../../domain/managementPath.ts'
import type { AuthenticateRequest } from '../authentication/authenticate.ts'
import { sendLongJson } from '../longJson.ts'
import { presentUsage, presentUsageTokens } from '../../presentation/tokens.ts'
import { presentBlastRadius, presentReport } from '../../presentation/analytics.ts'
import { Problem } from '../problem.ts'
import { queryOf, readingWith } from '../authentication/authenticated.ts'
import type { Route } from '../route.ts'
import * as schemas from '../openapi/schemas.ts'
import { queryValidator } from '../input/validate.ts'

interface Dependencies {
  authenticateRequest: AuthenticateRequest
  reads: Gate
  queries: Queries
  clock: Clock
}

interface ReportInput extends RangeInput {
  idle_days: number
  expiring_days: number
  limit: number
}

const parseUsage = queryValidator<RangeInput & { route?: string }>(schemas.usageQuery)
const parseReport = queryValidator<ReportInput>(schemas.reportQuery)
const parseSince = queryValidator<{ since?: string }>(schemas.sinceQuery)

/**
 * Routes with counts and sums. They have to come before the routes with `/:id`, which would take these paths for ids.
 */
export function analyticsRoutes({ authenticateRequest, reads, queries, clock }: Dependencies): Route[] {
  const now = () => iso(clock())
  const reading = readingWith(authenticateRequest, reads)

  function asked(ctx: Context, signal: AbortSignal): [UsageRange, UsageOptions] {
    const { route, ...range } = parseUsage(queryOf(ctx))
    const filter = route === undefined ? undefined : routeFilter(route)
    return [usageRange(range, now()), { route: filter, signal, mostBuckets: schemas.MOST_BUCKETS }]
  }

  const usage = reading(async (ctx, { principal }, gone) => {
    const token = await queries.token(principal.accountId, ctx.params.id)
    const found = await queries.usageOfToken(token, ...asked(ctx, gone))
    await sendLongJson(ctx, { token_id: token.id, ...presentUsage(found) }, gone)
  })

  const accountUsage = reading(async (ctx, { principal }, gone) => {
    const found = await queries.usageOfAccount(principal.accountId, ...asked(ctx, gone))
    await sendLongJson(ctx, { ...presentUsage(found), ...presentUsageTokens(found) }, gone)
  })

  const report = reading(async (ctx, { principal }, gone) => {
    const { idle_days: idleDays, expiring_days: expiringDays, limit, ...input } = parseReport(queryOf(ctx))
    const { from, to } = usageRange(input, now())
    const query = { from, to, idleDays, expiringDays, limit }
    const effort = { signal: gone, mostBuckets: schemas.MOST_BUCKETS }
    await sendLongJson(ctx, presentReport(await queries.report(principal.accountId, query, effort)), gone)
  })

  const blastRadius = reading(async (ctx, { principal }, gone) => {
    // Whoever holds a stolen token must not learn what is known about them, nor the addresses of other callers.
    if (principal.kind === 'token') {
      throw new Problem('token_may_not_manage', 'Use a JWT to see where tokens were used from.')
    }
    const token = await queries.token(principal.accountId, ctx.params.id)
    const { since } = parseSince(queryOf(ctx))
    const from = since === undefined ? null : sinceTime(since, now())
    const found = await queries.blastRadius(token, from, { signal: gone })
    await sendLongJson(ctx, presentBlastRadius(found, now()), gone)
  })

  return [
    {
      method: 'get',
      path: `${TOKENS}/usage`,
      operationId: 'accountUsage',
      summary: 'Usage of the account, with a row per token',
      who: 'any',
      query: schemas.usageQuery,
      answers: { 200: { description: 'Counts.', schema: schemas.refTo('AccountUsage') } },
      problems: [],
      handle: accountUsage,
    },
    {
      method: 'get',
      path: `${TOKENS}/report`,
      operationId: 'report',
      summary: 'Which tokens are used most, which are not used, which expire soon or never',
      who: 'any',
      query: schemas.reportQuery,
      answers: { 200: { description: 'Lists of tokens.', schema: schemas.refTo('Report') } },
      problems: [],
      handle: report,
    },
    {
      method: 'get',
      path: `${TOKENS}/:id/usage`,
      operationId: 'tokenUsage',
      summary: 'Usage of one token',
      who: 'any',
      query: schemas.usageQuery,
      answers: { 200: { description: 'Counts.', schema: schemas.refTo('TokenUsage') } },
      problems: ['not_found'],
      handle: usage,
    },
    {
      method: 'get',
      path: `${TOKENS}/:id/blast-radius`,
      operationId: 'blastRadius',
      summary: 'Everything that a token did: routes, addresses, agents, hours, and what it caused',
      who: 'jwt',
      query: schemas.sinceQuery,
      answers: { 200: { description: 'Counts.', schema: schemas.refTo('BlastRadius') } },
      problems: ['not_found'],
      handle: blastRadius,
    },
  ]
}
