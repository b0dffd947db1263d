import type { HistoryDocument } from '../../../projections/tokenHistory.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { Refusal } from '../../domain/errors.ts'
import { decodeCursor, encodeCursor } from '../readModel/cursor.ts'
import { type Clock, iso } from '../ports/clock.ts'
import type { Condition, Document, Scalar } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { dailyRequests } from '../readModel/dailyRequests.ts'
import { countTokens, type TokenCounts } from './tokenCounts.ts'
import { listTokens, type TokenFilter } from './tokenList.ts'
import { isUuid } from '../../domain/uuid.ts'

type SortField = 'createdAt' | 'name' | 'lastAccessed' | 'expiresAt'
/** With `-` in front, the greatest value comes first. */
export type Sort = SortField | `-${SortField}`

export interface ListQuery extends TokenFilter {
  sort: Sort
  limit: number
  cursor?: string
  /** Are the tokens to be counted as well? That is independent of the filter. */
  counts?: boolean
  /** On how many days, until today, the requests of each token are wanted. */
  daily?: number
}

export interface ResultPage<T> {
  data: T[]
  nextCursor: string | null
}

/** What was not asked for is null. */
export interface TokenPage extends ResultPage<TokenDocument> {
  counts: TokenCounts | null
  /** The requests on each of the days that were asked for, by token id, oldest first. */
  daily: ReadonlyMap<string, readonly number[]> | null
}

export interface TokenQueries {
  /**
   * Also finds a token whose history is damaged, with what was known of it before the damage.
   * @param accountId null: of any account
   * @throws Refusal for any id that is not that of one of the account's tokens
   */
  token(accountId: string | null, id: string): Promise<TokenDocument>
  /** A damaged token is listed among those that are not revoked. It is neither active nor expired. */
  list(accountId: string | null, query: ListQuery, signal?: AbortSignal): Promise<TokenPage>
  history(
    tokenId: string,
    query: { limit: number; cursor?: string },
    signal?: AbortSignal,
  ): Promise<ResultPage<HistoryDocument>>
}

export function createTokenQueries(readModel: DocumentReader, clock: Clock): TokenQueries {
  return {
    async token(accountId, id) {
      const found = isUuid(id) ? await readModel.get('tokens', id) : null
      const owner = found?.accountId
      if (owner === undefined || (accountId !== null && owner !== accountId))
        throw new Refusal('not_found', 'There is no such token.')
      return asToken(found as Document)
    },

    async list(accountId, { cursor, sort, limit, counts = false, daily: days, ...asked }, signal) {
      const of = `tokens ${sort}`
      const order = { field: sort.replace('-', ''), descending: sort.startsWith('-') }
      const after = cursor === undefined ? null : decodeCursor(of, cursor)
      const query = { ...asked, order, after, limit: limit + 1 }
      const now = iso(clock())
      const found = await listTokens(readModel, accountId, query, now, signal)
      const page = pageOf<TokenDocument>(found, limit, of, order.field)
      const ids = page.data.map(({ id }) => id)
      return {
        ...page,
        counts: counts ? await countTokens(readModel, accountId, now, signal) : null,
        daily: days === undefined ? null : await dailyRequests(readModel, ids, { days, now }, signal),
      }
    },

    async history(tokenId, { limit, cursor }, signal) {
      const where: Condition[] = [{ field: 'tokenId', op: 'eq', value: tokenId }]
      const order = { field: 'revision' }
      const after = cursor === undefined ? {} : { after: decodeCursor('events', cursor) }
      const query = { where, order, ...after, limit: limit + 1 }
      return pageOf(await readModel.find('tokenHistory', query, signal), limit, 'events', order.field)
    },
  }
}

const asToken = (document: Document): TokenDocument => document as unknown as TokenDocument

/** One row more than asked for was read, which shows whether there is a next page. */
function pageOf<T>(found: readonly Document[], limit: number, of: string, field: string): ResultPage<T> {
  const data = found.slice(0, limit)
  const last = found.length > limit ? data.at(-1) : undefined
  const nextCursor = last
    ? encodeCursor({ of, value: (last[field] as Scalar | undefined) ?? null, id: last.id })
    : null
  return { data: data as unknown[] as T[], nextCursor }
}
