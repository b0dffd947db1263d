import type { CallerCheck } from '../../application/analytics/callerCheck.ts'
import type { Queries } from '../../application/analytics/queries.ts'
import type { Gate } from '../../application/scheduling/gate.ts'
import { MANAGEMENT_PATH as TOKENS } from '../../domain/managementPath.ts'
import { presentCallerCheck } from '../../presentation/analytics.ts'
import type { AuthenticateRequest } from '../authentication/authenticate.ts'
import { queryOf, readingWith } from '../authentication/authenticated.ts'
import { readJson } from '../input/body.ts'
import { bodyValidator, queryValidator } from '../input/validate.ts'
import { sendLongJson } from '../longJson.ts'
import * as schemas from '../openapi/schemas.ts'
import { tokenMayNot } from '../problem.ts'
import type { Route } from '../route.ts'

interface Dependencies {
  authenticateRequest: AuthenticateRequest
  reads: Gate
  queries: Queries
}

const parseNoQuery = queryValidator<object>(schemas.noQuery)
const parseCheck = bodyValidator<{ allowed_ips: string[] }>(schemas.allowedIpsCheckBody)

/** Who would be shut out, before a token is bound to addresses. It changes nothing. */
export function allowedIpsRoutes({ authenticateRequest, reads, queries }: Dependencies): Route[] {
  const check = readingWith(
    authenticateRequest,
    reads,
  )(async (ctx, { principal }, gone) => {
    // Whoever holds a stolen token must not learn the addresses of other callers.
    if (principal.kind === 'token') throw tokenMayNot('To see where tokens were used from')
    const token = await queries.token(principal.accountId, ctx.params.id)
    parseNoQuery(queryOf(ctx))
    const { allowed_ips: allowedIps } = parseCheck(await readJson(ctx))
    const found: CallerCheck = await queries.checkCallers(token, allowedIps, { signal: gone })
    await sendLongJson(ctx, presentCallerCheck(found), gone)
  })

  return [
    {
      method: 'post',
      path: `${TOKENS}/:id/allowed-ips/check`,
      operationId: 'checkAllowedIps',
      summary: 'Which callers of the last 30 days would these addresses shut out? Changes nothing',
      who: 'jwt',
      query: schemas.noQuery,
      body: {
        schema: schemas.allowedIpsCheckBody,
        types: ['application/json'],
        example: { allowed_ips: ['192.0.2.7', '2001:db8::/32'] },
      },
      answers: { 200: { description: 'Counts.', schema: schemas.refTo('AllowedIpsCheck') } },
      problems: ['not_found'],
      handle: check,
    },
  ]
}
