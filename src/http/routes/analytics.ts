import type { Gate } from '../../application/scheduling/gate.ts'
import { iso } from '../../application/ports/clock.ts'
import { type RangeInput, usageRange } from '../../application/analytics/range.ts'
import { MANAGEMENT_PATH as TOKENS } from '../../domain/managementPath.ts'
import type { AuthenticateRequest } from '../authentication/authenticate.ts'
import { sendLongJson } from '../longJson.ts'
import { presentUsage, presentUsageTokens } from '../../presentation/tokens.ts'
import { presentReport } from '../../presentation/analytics.ts'
import { tokenMayNot } from '../problem.ts'
import { queryOf, readingWith } from '../authentication/authenticated.ts'
import type { Route } from '../route.ts'
import * as schemas from '../openapi/schemas.ts'
import { queryValidator } from '../input/validate.ts'
import { askedUsage, type ReadDependencies, tokenReads } from './tokenReads.ts'

interface Dependencies extends ReadDependencies {
  authenticateRequest: AuthenticateRequest
  reads: Gate
}

interface ReportInput extends RangeInput {
  idle_days: number
  expiring_days: number
  limit: number
}

const parseReport = queryValidator<ReportInput>(schemas.reportQuery)

/**
 * Routes with counts and sums. They have to come before the routes with `/:id`, which would take these paths for ids.
 */
export function analyticsRoutes(deps: Dependencies): Route[] {
  const { authenticateRequest, reads, queries, clock } = deps
  const answer = tokenReads(deps)
  const now = () => iso(clock())
  const reading = readingWith(authenticateRequest, reads)

  const usage = reading(async (ctx, { principal }, gone) =>
    answer.usage(ctx, await queries.token(principal.accountId, ctx.params.id), gone),
  )

  const accountUsage = reading(async (ctx, { principal }, gone) => {
    const found = await queries.usageOfAccount(principal.accountId, ...askedUsage(ctx, now(), gone))
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
      throw tokenMayNot('To see where tokens were used from')
    }
    await answer.blastRadius(ctx, await queries.token(principal.accountId, ctx.params.id), gone)
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
