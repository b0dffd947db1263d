import type { Context } from 'koa'
import type { TokenDocument } from '../../../projections/tokens.ts'
import type { UsageRange } from '../../application/analytics/buckets.ts'
import type { Queries } from '../../application/analytics/queries.ts'
import { type RangeInput, sinceTime, usageRange } from '../../application/analytics/range.ts'
import { routeFilter } from '../../application/analytics/routeFilter.ts'
import type { UsageOptions } from '../../application/analytics/usage.ts'
import { seenToken } from '../../application/eventLog/tokenStream.ts'
import { type Clock, iso } from '../../application/ports/clock.ts'
import { askedMoment, type TokenAt } from '../../application/tokens/asOf.ts'
import type { ListQuery, Sort } from '../../application/tokens/query.ts'
import { presentBlastRadius } from '../../presentation/analytics.ts'
import { camelCase, camelCased } from '../../presentation/names.ts'
import {
  presentHistory,
  presentToken,
  presentTokenAt,
  presentTokenPage,
  presentUsageOfToken,
  type TokenLike,
} from '../../presentation/tokens.ts'
import { queryOf } from '../authentication/authenticated.ts'
import { callerPath } from '../callerPath.ts'
import { queryValidator } from '../input/validate.ts'
import { sendLongJson } from '../longJson.ts'
import * as schemas from '../openapi/schemas.ts'
import { sendJson } from '../route.ts'

export interface ReadDependencies {
  queries: Queries
  tokenAt: TokenAt
  clock: Clock
}

/** What a list may be asked for, as the query string has it. */
export interface ListInput {
  sort: string
}

const parseRead = queryValidator<{ at?: string }>(schemas.readQuery)
const parsePage = queryValidator<{ limit: number; cursor?: string }>(schemas.pageQuery)
const parseUsage = queryValidator<RangeInput & { route?: string }>(schemas.usageQuery)
const parseSince = queryValidator<{ since?: string }>(schemas.sinceQuery)

/** Reads the query of a question about usage. */
export function askedUsage(ctx: Context, now: string, signal: AbortSignal): [UsageRange, UsageOptions] {
  const { route, ...range } = parseUsage(queryOf(ctx))
  const filter = route === undefined ? undefined : routeFilter(route)
  return [usageRange(range, now), { route: filter, signal, mostBuckets: schemas.MOST_BUCKETS }]
}

/** The answers to questions about tokens. Who may see them was decided before. */
export function tokenReads({ queries, tokenAt, clock }: ReadDependencies) {
  const now = () => iso(clock())

  /** The token as it is, with its ETag. */
  function send(ctx: Context, id: string, token: TokenLike, extra: object = {}): void {
    ctx.set('ETag', `"${token.revision}"`)
    sendJson(ctx, { ...presentToken(id, token, now()), ...extra })
  }

  return {
    send,

    /** @param accountId null: of all accounts */
    async list(ctx: Context, accountId: string | null, { sort, ...query }: ListInput, gone: AbortSignal) {
      const asked = camelCased<Omit<ListQuery, 'sort'>>(query)
      const page = await queries.list(accountId, { ...asked, sort: camelCase(sort) as Sort }, gone)
      if (page.nextCursor !== null) ctx.set('Link', nextLink(ctx, page.nextCursor))
      sendJson(ctx, presentTokenPage(page, seenToken, now()))
    },

    async token(ctx: Context, token: TokenDocument): Promise<void> {
      const { at } = parseRead(queryOf(ctx))
      if (at === undefined) return send(ctx, token.id, seenToken(token))
      const then = await tokenAt(token, askedMoment(at))
      sendJson(ctx, presentTokenAt(token.id, then.token, then.at))
    },

    async events(ctx: Context, token: TokenDocument, gone: AbortSignal): Promise<void> {
      const page = await queries.history(token.id, parsePage(queryOf(ctx)), gone)
      if (page.nextCursor !== null) ctx.set('Link', nextLink(ctx, page.nextCursor))
      sendJson(ctx, presentHistory(page, await queries.retiredUsesOf(token, gone)))
    },

    async usage(ctx: Context, token: TokenDocument, gone: AbortSignal): Promise<void> {
      const found = await queries.usageOfToken(token, ...askedUsage(ctx, now(), gone))
      await sendLongJson(ctx, { token_id: token.id, ...presentUsageOfToken(found) }, gone)
    },

    async blastRadius(ctx: Context, token: TokenDocument, gone: AbortSignal): Promise<void> {
      const { since } = parseSince(queryOf(ctx))
      const from = since === undefined ? null : sinceTime(since, now())
      const found = await queries.blastRadius(token, from, { signal: gone })
      await sendLongJson(ctx, presentBlastRadius(found, now()), gone)
    },
  }
}

export type TokenReads = ReturnType<typeof tokenReads>

/** RFC 8288: the same query, with the next cursor. */
function nextLink(ctx: Context, cursor: string): string {
  const params = queryOf(ctx)
  params.set('cursor', cursor)
  return `<${callerPath(ctx)}?${params}>; rel="next"`
}
