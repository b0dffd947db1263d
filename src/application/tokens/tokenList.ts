import { foldCase } from '../../../projections/tokens.ts'
import type { Condition, Document, Query } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { compareBy, type Key } from '../readModel/order.ts'
import * as tokensThat from '../readModel/statuses.ts'

export type StatusFilter = 'live' | 'active' | 'expired' | 'revoked' | 'all'

export interface TokenList {
  status: StatusFilter
  /** Text that the name contains, ignoring case. */
  q?: string
  order: { field: string; descending: boolean }
  after: Key | null
  limit: number
}

/** The token is not damaged. */
const sound: Condition = { field: 'stopped', op: 'eq', value: null }

/**
 * Up to this many active tokens are sorted here. Beyond that, they are picked out of an index that also holds expired
 * ones.
 */
const MOST_SORTED = 500

/**
 * Tokens of an account in an order. One index has the order of revoked tokens, and one that of the others; another
 * knows which of those have expired. No index can have both, since expiry depends on the time of the question.
 * @param now RFC 3339 UTC
 */
export async function listTokens(
  readModel: DocumentReader,
  accountId: string,
  { status, q, order, after, limit }: TokenList,
  now: string,
  signal?: AbortSignal,
): Promise<Document[]> {
  const named: Condition[] = q ? [{ field: 'nameFolded', op: 'contains', value: foldCase(q) }] : []
  const find = (where: readonly Condition[], query: Pick<Query, 'order' | 'after' | 'limit'>) =>
    readModel.find('tokens', { where: [...where, ...named], ...query }, signal)
  const read = (where: readonly Condition[]) => find(where, { order, ...(after && { after }), limit })
  const inOrder = (found: readonly Document[]) => firstBehind(found, order, after).slice(0, limit)

  switch (status) {
    case 'live':
      return read(tokensThat.notRevoked(accountId))
    case 'revoked':
      return read(tokensThat.revoked(accountId))
    case 'expired':
      return read([...tokensThat.expired(accountId, now), sound])
    case 'all': {
      const both = [tokensThat.notRevoked(accountId), tokensThat.revoked(accountId)]
      return inOrder((await Promise.all(both.map(read))).flat())
    }
    case 'active': {
      const where = [...tokensThat.active(accountId, now), sound]
      if (order.field === 'expiresAt') return read(where)
      const all = await find(where, { order: { field: 'expiresAt' }, limit: MOST_SORTED + 1 })
      return all.length > MOST_SORTED ? read(where) : inOrder(all)
    }
  }
}

function firstBehind(found: readonly Document[], order: TokenList['order'], after: Key | null): Document[] {
  const compare = compareBy(order)
  const key = after && { id: after.id, [order.field]: after.value }
  return found.filter((document) => key === null || compare(document, key) > 0).sort(compare)
}
