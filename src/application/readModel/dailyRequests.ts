import { bucketStart, type UsageDocument, usageId } from '../../../projections/tokenUsage.ts'
import { DAY_MS } from '../../domain/time.ts'
import { iso } from '../ports/clock.ts'
import type { Condition } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'

/** How many days are looked up at once: a few milliseconds of a store's work. */
const AT_ONCE = 500

/**
 * The requests of tokens on each of the last days (UTC), oldest first; today is the last.
 * @param now RFC 3339 UTC
 * @returns by token id
 */
export async function dailyRequests(
  readModel: Pick<DocumentReader, 'find'>,
  tokenIds: readonly string[],
  { days, now }: { days: number; now: string },
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const today = Date.parse(bucketStart(now, 'day'))
  const starts = Array.from({ length: days }, (_, i) => iso(today - (days - 1 - i) * DAY_MS))
  const ids = tokenIds.map((tokenId) => starts.map((at) => usageId(tokenId, 'day', at)))
  const all = ids.flat()
  const requests = new Map<string, number>()
  for (let from = 0; from < all.length; from += AT_ONCE) {
    const where: Condition[] = [{ field: 'id', op: 'in', value: all.slice(from, from + AT_ONCE) }]
    const query = { where, order: 'any', limit: AT_ONCE, numbers: ['requests'] } as const
    for (const day of await readModel.find('tokenUsage', query, signal)) {
      const { id, requests: n } = day as unknown as UsageDocument
      requests.set(id, n)
    }
  }
  return new Map(
    tokenIds.map((tokenId, i) => [tokenId, (ids[i] ?? []).map((id) => requests.get(id) ?? 0)] as const),
  )
}
