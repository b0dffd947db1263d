import { foldCase, type TokenDocument } from '../../../projections/tokens.ts'
import { statusAt } from '../../domain/token.ts'
import type { Condition, Document, Query } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { compareBy, type Key } from '../readModel/order.ts'
import * as tokensThat from '../readModel/statuses.ts'

export type StatusFilter = 'live' | 'active' | 'expired' | 'revoked' | 'all'

export interface TokenList {
  status: StatusFilter
  /** Text that the name contains, ignoring case. */
  q?: string
  /** The hint that the tokens have. */
  hint?: string
  order: { field: string; descending: boolean }
  after: Key | null
  limit: number
}

/** The token is not damaged. */
const sound: Condition = { field: 'stopped', op: 'eq', value: null }

/**
 * Up to this many active or expired tokens are sorted here. Beyond that, they are picked out of an index that holds
 * both.
 */
const MOST_SORTED = 500
/** How many tokens with one hint are looked at: there are 14 million hints. */
const MOST_HINTED = 1_000

/**
 * Tokens of an account, or of all (null), in an order. One index has the order of revoked tokens, and one that of the
 * others; another knows which of those have expired. No index can have both, since expiry depends on the time of the
 * question.
 * @param now RFC 3339 UTC
 */
export async function listTokens(
  readModel: DocumentReader,
  accountId: string | null,
  { status, q, hint, order, after, limit }: TokenList,
  now: string,
  signal?: AbortSignal,
): Promise<Document[]> {
  const named: Condition[] = q ? [{ field: 'nameFolded', op: 'contains', value: foldCase(q) }] : []
  const find = (where: readonly Condition[], query: Pick<Query, 'order' | 'after' | 'limit'>) =>
    readModel.find('tokens', { where: [...where, ...named], ...query }, signal)
  const read = (where: readonly Condition[]) => find(where, { order, ...(after && { after }), limit })
  const inOrder = (found: readonly Document[]) => firstBehind(found, order, after).slice(0, limit)
  /** Those that the index of expiry knows. */
  const byExpiry = async (where: readonly Condition[]) => {
    if (order.field === 'expiresAt') return read(where)
    const all = await find(where, { order: { field: 'expiresAt' }, limit: MOST_SORTED + 1 })
    return all.length > MOST_SORTED ? read(where) : inOrder(all)
  }

  if (hint !== undefined) {
    const where: Condition[] = [{ field: 'hint', op: 'eq', value: hint }]
    const found = await find(where, { order: 'any', limit: MOST_HINTED })
    return inOrder(
      found.filter((token) => isListed(token as unknown as TokenDocument, accountId, status, now)),
    )
  }
  switch (status) {
    case 'live':
      return read(tokensThat.notRevoked(accountId))
    case 'revoked':
      return read(tokensThat.revoked(accountId))
    case 'expired':
      return byExpiry([...tokensThat.expired(accountId, now), sound])
    case 'all': {
      const both = [tokensThat.notRevoked(accountId), tokensThat.revoked(accountId)]
      return inOrder((await Promise.all(both.map(read))).flat())
    }
    case 'active':
      return byExpiry([...tokensThat.active(accountId, now), sound])
  }
}

/** Is a token, wherever it was found, one of the list? */
function isListed(
  token: TokenDocument,
  accountId: string | null,
  status: StatusFilter,
  now: string,
): boolean {
  if (accountId !== null && token.accountId !== accountId) return false
  const own = statusAt(token, now)
  return status === 'all' || (status === 'live' ? own !== 'revoked' : own === status)
}

function firstBehind(found: readonly Document[], order: TokenList['order'], after: Key | null): Document[] {
  const compare = compareBy(order)
  const key = after && { id: after.id, [order.field]: after.value }
  return found.filter((document) => key === null || compare(document, key) > 0).sort(compare)
}
