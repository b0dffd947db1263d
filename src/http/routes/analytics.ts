import type { Context } from 'koa'
import type { Gate } from '../../application/gate.ts'
import { type Clock, iso } from '../../application/ports.ts'
import type { Queries } from '../../application/query.ts'
import { type RouteFilter, routeFilter } from '../../application/routeFilter.ts'
import type { UsageRange } from '../../application/usage.ts'
import { type RangeInput, sinceTime, usageRange } from '../../application/usageRange.ts'
import { MANAGEMENT_PATH as TOKENS } from '../../../projections/tokenActivity.ts'
import type { Judge } from '../authenticate.ts'
import { presentUsage, presentUsageTokens } from '../present.ts'
import { presentBlastRadius, presentReport } from '../presentAnalytics.ts'
import { Problem } from '../problem.ts'
import { queryOf, readingWith } from '../reading.ts'
import { type Route, sendJson } from '../route.ts'
import * as schemas from '../schemas.ts'
import { queryValidator } from '../validate.ts'

interface Dependencies {
  judge: Judge
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

/** What counts and sums say. To be put before the routes with `/:id`, which would take the paths here for ids. */
export function analyticsRoutes({ judge, reads, queries, clock }: Dependencies): Route[] {
  const now = () => iso(clock())
  const reading = readingWith(judge, reads)

  function asked(ctx: Context): [UsageRange, RouteFilter | undefined] {
    const { route, ...range } = parseUsage(queryOf(ctx))
    return [usageRange(range, now()), route === undefined ? undefined : routeFilter(route)]
  }

  const usage = reading(async (ctx, { principal }) => {
    const token = await queries.token(principal.accountId, ctx.params.id)
    const found = await queries.usageOfToken(token, ...asked(ctx))
    sendJson(ctx, { token_id: token.id, ...presentUsage(found) })
  })

  const accountUsage = reading(async (ctx, { principal }) => {
    const found = await queries.usageOfAccount(principal.accountId, ...asked(ctx))
    sendJson(ctx, { ...presentUsage(found), tokens: presentUsageTokens(found) })
  })

  const report = reading(async (ctx, { principal }) => {
    const { idle_days: idleDays, expiring_days: expiringDays, limit, ...input } = parseReport(queryOf(ctx))
    const { from, to } = usageRange(input, now())
    const found = await queries.report(principal.accountId, { from, to, idleDays, expiringDays, limit })
    sendJson(ctx, presentReport(found))
  })

  const blastRadius = reading(async (ctx, { principal }) => {
    // Whoever holds a stolen token must not learn what is known of him, or the addresses of the others.
    if (principal.kind === 'token') {
      throw new Problem('token_may_not_manage', 'Use a JWT to see where tokens were used from.')
    }
    const token = await queries.token(principal.accountId, ctx.params.id)
    const { since } = parseSince(queryOf(ctx))
    const found = await queries.blastRadius(token, since === undefined ? null : sinceTime(since, now()))
    sendJson(ctx, presentBlastRadius(found, now()))
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
