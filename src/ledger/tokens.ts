import { routeFilter } from '../application/analytics/routeFilter.ts'
import { type RangeInput, usageRange } from '../application/analytics/range.ts'
import { ids } from '../application/eventLog/ids.ts'
import { type Clock, iso } from '../application/ports/clock.ts'
import type { CommandContext } from '../application/tokens/execute.ts'
import { seenToken } from '../application/eventLog/tokenStream.ts'
import type { RotationInput } from '../application/tokens/rotate.ts'
import type { TokenInput } from '../application/tokens/input.ts'
import { targetOf } from '../application/tokens/manage.ts'
import type { ListQuery, ResultPage, Sort } from '../application/tokens/query.ts'
import type { TokenCounts } from '../application/tokens/tokenCounts.ts'
import type { StatusFilter } from '../application/tokens/tokenList.ts'
import { isAccountId } from '../domain/rules.ts'
import type { Ceiling } from '../domain/scopes.ts'
import type { RotationStatus } from '../domain/token.ts'
import { readIdempotencyKey, readIfMatch } from '../http/input/conditional.ts'
import { bodyValidator, invalid } from '../http/input/validate.ts'
import * as schemas from '../http/openapi/schemas.ts'
import {
  type ListedToken,
  shownHistory,
  shownToken,
  shownTokenPage,
  shownUsage,
  shownUsageOfToken,
  shownUsageTokens,
  type Token,
  type TokenHistory,
} from '../presentation/tokens.ts'
import { commandOptions, inCode } from './codeSchemas.ts'
import type { UseCases } from './parts.ts'
import { refusalOf } from './tokenLedgerError.ts'

export interface NewToken {
  name: string
  /** RFC 3339, in the future. Null or left out: the token never expires. */
  expiresAt?: string | null | undefined
  scopes?: readonly string[] | undefined
  /** At most 500 characters. */
  description?: string | null | undefined
  /** At most 16 members with texts of at most 200 characters. `authenticate()` gives them to you with the principal. */
  metadata?: Readonly<Record<string, string>> | undefined
  /** Addresses and CIDR blocks from which alone the token is accepted. Null or left out: from anywhere. */
  allowedIps?: readonly string[] | null | undefined
  /** May the token rotate itself? Default: no. */
  rotatable?: boolean | undefined
}

/** A merge patch: members that are left out stay as they are. */
export interface TokenChange extends Partial<Omit<NewToken, 'name' | 'scopes' | 'metadata'>> {
  name?: string | undefined
  scopes?: readonly string[] | null | undefined
  /** Merged into what is there; null takes a member away. */
  metadata?: Readonly<Record<string, string | null>> | null | undefined
}

export interface RotateInput {
  /** How long the older secret is accepted beside the newer one, in seconds: 0 to 604,800. Default: 86,400. */
  graceSeconds?: number | undefined
  /** When that time begins: at the first use of the newer secret (the default), or at once. */
  activate?: 'on_first_use' | 'now' | undefined
}

export interface CommandOptions {
  /**
   * The part of your program that does it, or whom it does it for. The history names it as `{ kind: 'code', id: actor
   * }`.
   */
  actor: string
  /** For creations: the same key and input never make two tokens. 1 to 255 visible ASCII characters. */
  idempotencyKey?: string | undefined
  /** For changes and revocations: the revision that they are based on, or the text of an ETag. */
  ifMatch?: number | string | undefined
  /** The ceiling: the scopes that may be given out, for instance those of the person who asks. Left out: any scope. */
  scopes?: readonly string[] | undefined
}

export interface RevokeOptions extends CommandOptions {
  /** For the history; at most 200 characters. */
  reason?: string | undefined
}

export interface TokenListQuery {
  /** Default: `live`. */
  status?: StatusFilter | undefined
  /** Text that the name or the description contains. Upper and lower case are the same. */
  q?: string | undefined
  /** Only tokens that were not used for so many days, and not made since then. */
  unusedDays?: number | undefined
  /** Only tokens that expire within so many days. */
  expiringDays?: number | undefined
  /** Only tokens that never expire. */
  neverExpires?: boolean | undefined
  /** Whether the account's tokens are counted, too. */
  counts?: boolean | undefined
  /** 1 to 30: each token has its requests on so many days until today (UTC), too. */
  daily?: number | undefined
  /** Default: `-createdAt`. */
  sort?: Sort | undefined
  /** 1 to 100. Default: 25. */
  limit?: number | undefined
  /** The `nextCursor` of the page before. */
  cursor?: string | undefined
}

export interface UsageQuery {
  /** RFC 3339, inclusive. Default: 30 days before `to`. */
  from?: string | undefined
  /** RFC 3339, exclusive. Default: now. */
  to?: string | undefined
  /** Default: `day`. */
  granularity?: 'hour' | 'day' | undefined
  /** Only requests on this route, as usage names it. */
  route?: string | undefined
}

/** How to ask for a page. */
export type PageQuery = Pick<TokenListQuery, 'limit' | 'cursor'>

export type TokenList = ResultPage<ListedToken> & { counts?: TokenCounts }

/** `token` is the credential: it is shown here, and never again. */
export type CreatedToken = Token & { token: string }
export type TokenUsage = { tokenId: string } & ReturnType<typeof shownUsageOfToken>
export type AccountUsage = ReturnType<typeof shownUsage> & ReturnType<typeof shownUsageTokens>

/**
 * Manages tokens without HTTP. The rules, the codes and the limits of number are the same, and there is no limit of
 * rate. Times are RFC 3339 text. Each method rejects with a TokenLedgerError.
 */
export interface Tokens {
  create(
    accountId: string,
    input: NewToken,
    options: CommandOptions & { idempotencyKey?: undefined },
  ): Promise<CreatedToken>
  /** Repeated with the same key, it resolves with the token as it is now, without its credential. */
  create(accountId: string, input: NewToken, options: CommandOptions): Promise<Token & { token?: string }>
  /** Revoked tokens are found, too. */
  get(accountId: string, id: string): Promise<Token>
  /** With `counts`: those that are not revoked; of them, those that expire within 14 days, never, or are unused for 90. */
  list(accountId: string, query?: TokenListQuery): Promise<TokenList>
  update(accountId: string, id: string, change: TokenChange, options: CommandOptions): Promise<Token>
  /** Gives the token another secret. The older one is accepted beside it for a time. */
  rotate(accountId: string, id: string, input: RotateInput, options: CommandOptions): Promise<CreatedToken>
  /** Ends a rotation: the newer secret of a pending one is dead, or the older secret of one in its grace. */
  endRotation(accountId: string, id: string, status: RotationStatus, options: CommandOptions): Promise<void>
  /** Once it resolves, no request with this token is accepted any more. Revoking again changes nothing. */
  revoke(accountId: string, id: string, options: RevokeOptions): Promise<void>
  /** The usage of one token. */
  usage(accountId: string, id: string, query?: UsageQuery): Promise<TokenUsage>
  /** The usage of all tokens of the account, with a row for each. */
  usage(accountId: string, query?: UsageQuery): Promise<AccountUsage>
  /** The history of a token, oldest event first. */
  history(accountId: string, id: string, query?: PageQuery): Promise<TokenHistory>
}

const parseCreate = bodyValidator<TokenInput>(inCode(schemas.createBody))
const parsePatch = bodyValidator<TokenInput>(inCode(schemas.patchBody))
const parseRotation = bodyValidator<RotationInput>(inCode(schemas.rotationBody))
const parseEnd = bodyValidator<{ status: RotationStatus }>(inCode(schemas.endRotationQuery))
const parseList = bodyValidator<ListQuery>(inCode(schemas.listQuery))
const parsePage = bodyValidator<{ limit: number; cursor?: string }>(inCode(schemas.pageQuery))
const parseUsage = bodyValidator<RangeInput & { route?: string }>(inCode(schemas.usageQuery))
const parseOptions = bodyValidator<RevokeOptions>(commandOptions)

/** @param settings `scopeCeiling` says whether a ceiling that a caller names has an effect */
export function tokensOf(
  { manage, rotations, queries }: UseCases,
  { scopeCeiling }: { scopeCeiling: boolean },
  clock: Clock,
): Tokens {
  const now = (): string => iso(clock())

  /** Who does it, and under which conditions. */
  function commandOf(given: RevokeOptions) {
    const { actor, idempotencyKey, ifMatch, scopes = null, reason = '' } = parseOptions(given ?? {})
    if (!isAccountId(actor)) throw invalid([{ pointer: '/actor', message: 'must name who does it' }])
    const requestId = ids.random()
    const context: CommandContext = {
      actor: { kind: 'code', id: actor },
      requestId,
      correlationId: requestId,
      ip: null,
      userAgent: null,
    }
    const ceiling: Ceiling = scopeCeiling ? scopes : null
    const key = idempotencyKey === undefined ? null : readIdempotencyKey(idempotencyKey)
    return { context, ceiling, key, reason: reason || null, ifMatch: ifMatchOf(ifMatch) }
  }

  async function create(accountId: string, input: NewToken, options: CommandOptions) {
    const { context, ceiling, key } = commandOf(options)
    const { token, secret } = await manage.create(context, accountId, parseCreate(input), key, ceiling)
    if (secret === null)
      return shownToken(token.tokenId, seenToken(await queries.token(accountId, token.tokenId)), now())
    return { ...shownToken(token.tokenId, token, now()), token: secret }
  }

  async function usage(accountId: string, of?: string | UsageQuery, more?: UsageQuery) {
    // What stands before a query is an id, even if it is none: it must not become the question for all tokens.
    const isOfToken = typeof of === 'string' || more !== undefined
    const token = isOfToken ? await queries.token(accountId, of as string) : null
    const { route, ...range } = parseUsage(asQuery(isOfToken ? more : of))
    const filter = route === undefined ? undefined : routeFilter(route)
    const asked = [usageRange(range, now()), { route: filter, mostBuckets: schemas.MOST_BUCKETS }] as const
    if (token) return { tokenId: token.id, ...shownUsageOfToken(await queries.usageOfToken(token, ...asked)) }
    const found = await queries.usageOfAccount(accountId, ...asked)
    return { ...shownUsage(found), ...shownUsageTokens(found) }
  }

  return {
    create: answering(create) as Tokens['create'],
    usage: answering(usage) as Tokens['usage'],
    get: answering(async (accountId, id) =>
      shownToken(id, seenToken(await queries.token(accountId, id)), now()),
    ),
    list: answering(async (accountId, query) => {
      const page = await queries.list(accountId, parseList(asQuery(query)))
      return shownTokenPage(page, seenToken, now())
    }),
    update: answering(async (accountId, id, change, options) => {
      const { context, ceiling, ifMatch } = commandOf(options)
      const seen = await queries.token(accountId, id)
      const changed = await manage.update(
        context,
        targetOf(seen, ifMatch, now()),
        parsePatch(change),
        ceiling,
      )
      return shownToken(id, { ...changed, lastAccessed: seen.lastAccessed ?? null }, now())
    }),
    rotate: answering(async (accountId, id, input, options) => {
      const { context, ceiling, ifMatch } = commandOf(options)
      const seen = await queries.token(accountId, id)
      const asked = parseRotation(asQuery(input))
      const { token, secret } = await rotations.rotate(context, { seen, ifMatch }, asked, ceiling)
      const shown = shownToken(id, { ...token, lastAccessed: seen.lastAccessed ?? null }, now())
      return { ...shown, token: secret }
    }),
    endRotation: answering(async (accountId, id, status, options) => {
      const { context, ifMatch } = commandOf(options)
      const asked = parseEnd({ status })
      await rotations.end(context, { seen: await queries.token(accountId, id), ifMatch }, asked.status)
    }),
    revoke: answering(async (accountId, id, options) => {
      const { context, ifMatch, reason } = commandOf(options)
      await manage.revoke(context, targetOf(await queries.token(accountId, id), ifMatch, now()), reason)
    }),
    history: answering(async (accountId, id, query) => {
      const token = await queries.token(accountId, id)
      const page = await queries.history(token.id, parsePage(asQuery(query)))
      return shownHistory(page, await queries.retiredUsesOf(token))
    }),
  }
}

/** A copy, in which defaults are filled in. What is no object stays as it is, and is refused for that. */
function asQuery(given: unknown): unknown {
  if (given === undefined || given === null) return {}
  return typeof given === 'object' && !Array.isArray(given) ? { ...given } : given
}

function ifMatchOf(given: number | string | undefined): (revision: number) => boolean {
  if (given === undefined) return () => true
  return typeof given === 'string' ? readIfMatch(given) : (revision) => revision === given
}

/** Makes a TokenLedgerError of every refusal. */
const answering =
  <A extends [accountId: string, ...unknown[]], T>(work: (...input: A) => Promise<T>) =>
  async (...input: A): Promise<T> => {
    try {
      if (isAccountId(input[0])) return await work(...input)
      throw invalid([
        { pointer: '/accountId', message: 'must be an id of 1 to 255 characters, and no token' },
      ])
    } catch (error) {
      throw refusalOf(error)
    }
  }
