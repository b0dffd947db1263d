import {
  bucketStart,
  type Granularity,
  type UsageDocument,
  usageId,
} from '../../../projections/tokenUsage.ts'
import { Refusal } from '../../domain/errors.ts'
import { eachDocument, type Walk } from '../readModel/pages.ts'
import { iso } from '../ports/clock.ts'
import type { ReadModel } from '../ports/readModel.ts'

/** `from` is inclusive, `to` exclusive, both RFC 3339 UTC. Counted by the hour: an hour that overlaps counts whole. */
export interface UsageRange {
  from: string
  to: string
  granularity: Granularity
}

export type Owner = { accountId: string } | { tokenId: string }

/** How far an answer may go. */
export interface Effort {
  /** Ends the work: whoever asked has gone. */
  signal?: AbortSignal | undefined
  /** Hours and days of tokens that are read at the most; a range with more is refused. Default: any number. */
  mostBuckets?: number | undefined
}

const DAY_MS = 86_400_000

/**
 * The buckets of a range, oldest first.
 * @param now RFC 3339 UTC
 * @throws Refusal `validation_failed`: there are more than may be read
 */
export async function* eachBucket(
  readModel: Pick<ReadModel, 'find' | 'count'>,
  owner: Owner,
  { range, now }: { range: UsageRange; now: string },
  { signal, mostBuckets }: Effort,
): AsyncGenerator<UsageDocument> {
  const walks = segments(range, now).map((segment) => walkOf(owner, segment))
  if (mostBuckets !== undefined) {
    let left = mostBuckets
    for (const { where } of walks) left -= await readModel.count('tokenUsage', where, left + 1, signal)
    if (left < 0) throw tooMany(mostBuckets)
  }
  for (const walk of walks) yield* eachDocument<UsageDocument>(readModel, 'tokenUsage', { ...walk, signal })
}

function tooMany(most: number): Refusal {
  const message = `the range has uses of more than ${most} hours or days, each token for itself: ask for less at a time, or by day`
  return new Refusal('validation_failed', 'The range is not valid.', [{ path: ['from'], message }])
}

/**
 * Which buckets to add up. Whole days come from day buckets; the days that the range cuts, and everything when hours
 * are asked for, from hour buckets. A range that reaches to now takes today whole.
 */
export function segments({ from, to, granularity }: UsageRange, now: string): UsageRange[] {
  const firstHour = bucketStart(from, 'hour')
  const hours = (start: string, end: string): UsageRange => ({ granularity: 'hour', from: start, to: end })
  const firstDay = dayFrom(from)
  const endDay = to >= now ? dayFrom(to) : bucketStart(to, 'day')
  if (granularity === 'hour' || firstDay >= endDay) return [hours(firstHour, to)]
  return [
    hours(firstHour, firstDay),
    { granularity: 'day' as const, from: firstDay, to: endDay },
    hours(endDay, to),
  ].filter((segment) => segment.from < segment.to)
}

/** Those of an account are in an index, by time; those of one token lie next to each other by their ids. */
function walkOf(owner: Owner, { granularity, from, to }: UsageRange): Walk {
  if ('tokenId' in owner) {
    const idAt = (at: string): string => usageId(owner.tokenId, granularity, at)
    return {
      where: [
        { field: 'id', op: 'gte', value: idAt(from) },
        { field: 'id', op: 'lt', value: idAt(to) },
      ],
    }
  }
  return {
    where: [
      { field: 'accountId', op: 'eq', value: owner.accountId },
      { field: 'granularity', op: 'eq', value: granularity },
      { field: 'at', op: 'gte', value: from },
      { field: 'at', op: 'lt', value: to },
    ],
    order: { field: 'at' },
  }
}

/** The first midnight at or after a time. */
function dayFrom(at: string): string {
  const start = bucketStart(at, 'day')
  return start === at ? start : iso(Date.parse(start) + DAY_MS)
}
