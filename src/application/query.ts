import type { HistoryDocument } from '../../projections/tokenHistory.ts'
import { foldCase, type TokenDocument } from '../../projections/tokens.ts'
import { Refusal } from '../domain/errors.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { liveConditions } from './limit.ts'
import {
  type Clock,
  type Condition,
  type Document,
  iso,
  type Query,
  type ReadModel,
  type Scalar,
} from './ports.ts'
import { type BlastRadiusQueries, createBlastRadiusQuery } from './blastRadius.ts'
import { createReportQuery, type ReportQueries } from './report.ts'
import { createUsageQuery, type UsageQueries } from './usage.ts'

export type StatusFilter = 'live' | 'active' | 'expired' | 'revoked' | 'all'
export type SortField = 'created_at' | 'name' | 'last_accessed' | 'expires_at'
export type Sort = SortField | `-${SortField}`

export interface ListQuery {
  status: StatusFilter
  /** Text in the name, ignoring case. */
  q?: string
  sort: Sort
  limit: number
  cursor?: string
}

export interface Page<T> {
  data: T[]
  nextCursor: string | null
}

/** The reading side: everything comes from the read model. */
export interface Queries extends UsageQueries, ReportQueries, BlastRadiusQueries {
  /**
   * One whose history is damaged too, with what was known of it before.
   * @throws Refusal for an id that is not one of the account's tokens, whatever it is
   */
  token(accountId: string, id: string): Promise<TokenDocument>
  /** Damaged tokens are among those not revoked, and neither active nor expired. */
  list(accountId: string, query: ListQuery): Promise<Page<TokenDocument>>
  history(tokenId: string, query: { limit: number; cursor?: string }): Promise<Page<HistoryDocument>>
}

const FIELDS: Record<SortField, keyof TokenDocument> = {
  created_at: 'createdAt',
  name: 'name',
  last_accessed: 'lastAccessed',
  expires_at: 'expiresAt',
}
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function createQueries(readModel: ReadModel, clock: Clock): Queries {
  /** One more than asked for is read, to know whether there is a next page. */
  async function page<T>(
    collection: string,
    of: string,
    query: Query & { order: { field: string } },
    cursor?: string,
  ): Promise<Page<T>> {
    const after = cursor === undefined ? {} : { after: decodeCursor(of, cursor) }
    const found = await readModel.find(collection, { ...query, ...after, limit: query.limit + 1 })
    const data = found.slice(0, query.limit)
    const last = found.length > query.limit ? data.at(-1) : undefined
    const nextCursor = last
      ? encodeCursor({ of, value: (last[query.order.field] as Scalar | undefined) ?? null, id: last.id })
      : null
    return { data: data as unknown[] as T[], nextCursor }
  }

  return {
    async token(accountId, id) {
      const found = UUID.test(id) ? await readModel.get('tokens', id) : null
      if (found?.accountId !== accountId) throw new Refusal('not_found', 'There is no such token.')
      return asToken(found)
    },

    async list(accountId, { status, q, sort, limit, cursor }) {
      const where = statusConditions(status, accountId, iso(clock()))
      if (q) where.push({ field: 'nameFolded', op: 'contains', value: foldCase(q) })
      const descending = sort.startsWith('-')
      const order = { field: FIELDS[sort.replace('-', '') as SortField], descending }
      return page<TokenDocument>('tokens', `tokens ${sort}`, { where, order, limit }, cursor)
    },

    history(tokenId, { limit, cursor }) {
      const where: Condition[] = [{ field: 'tokenId', op: 'eq', value: tokenId }]
      return page('tokenHistory', 'events', { where, order: { field: 'revision' }, limit }, cursor)
    },

    ...createUsageQuery(readModel, clock),
    ...createReportQuery(readModel, clock),
    ...createBlastRadiusQuery(readModel, clock),
  }
}

const asToken = (document: Document): TokenDocument => document as unknown as TokenDocument

function statusConditions(status: StatusFilter, accountId: string, now: string): Condition[] {
  const ofAccount: Condition = { field: 'accountId', op: 'eq', value: accountId }
  const notRevoked: Condition = { field: 'revokedAt', op: 'eq', value: null }
  const notDamaged: Condition = { field: 'stopped', op: 'eq', value: null }
  switch (status) {
    case 'all':
      return [ofAccount]
    case 'live':
      return [ofAccount, notRevoked]
    case 'active':
      return [...liveConditions(accountId, now), notDamaged]
    case 'expired':
      return [ofAccount, notRevoked, notDamaged, { field: 'expiresAt', op: 'lte', value: now }]
    case 'revoked':
      return [ofAccount, { field: 'revokedAt', op: 'gt', value: '' }]
  }
}
