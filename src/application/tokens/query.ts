import type { HistoryDocument } from '../../../projections/tokenHistory.ts'
import type { TokenDocument } from '../../../projections/tokens.ts'
import { Refusal } from '../../domain/errors.ts'
import { decodeCursor, encodeCursor } from '../readModel/cursor.ts'
import { type Clock, iso } from '../ports/clock.ts'
import type { Condition, Document, Scalar } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { listTokens, type StatusFilter } from './tokenList.ts'
import { isUuid } from '../../domain/uuid.ts'

type SortField = 'createdAt' | 'name' | 'lastAccessed' | 'expiresAt'
/** With `-` in front, the greatest value comes first. */
export type Sort = SortField | `-${SortField}`

export interface ListQuery {
  status: StatusFilter
  /** Text that the name contains, ignoring case. */
  q?: string
  /** The hint that the tokens have, with four characters. */
  hint?: string
  sort: Sort
  limit: number
  cursor?: string
}

export interface ResultPage<T> {
  data: T[]
  nextCursor: string | null
}

export interface TokenQueries {
  /**
   * Also finds a token whose history is damaged, with what was known of it before the damage.
   * @param accountId null: of any account
   * @throws Refusal for any id that is not that of one of the account's tokens
   */
  token(accountId: string | null, id: string): Promise<TokenDocument>
  /** A damaged token is listed among those that are not revoked. It is neither active nor expired. */
  list(accountId: string | null, query: ListQuery, signal?: AbortSignal): Promise<ResultPage<TokenDocument>>
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

    async list(accountId, { cursor, sort, limit, ...asked }, signal) {
      const of = `tokens ${sort}`
      const order = { field: sort.replace('-', ''), descending: sort.startsWith('-') }
      const after = cursor === undefined ? null : decodeCursor(of, cursor)
      const query = { ...asked, order, after, limit: limit + 1 }
      return pageOf(
        await listTokens(readModel, accountId, query, iso(clock()), signal),
        limit,
        of,
        order.field,
      )
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
