import {
  bucketStart,
  type Granularity,
  type UsageDocument,
  usageId,
} from '../../../projections/tokenUsage.ts'
import { Refusal } from '../../domain/errors.ts'
import { DAY_MS } from '../../domain/time.ts'
import { eachDocument, type DocumentWalk } from '../readModel/pages.ts'
import { iso } from '../ports/clock.ts'
import type { DocumentReader } from '../ports/readModel.ts'

/**
 * `from` is inclusive, `to` exclusive, both RFC 3339 UTC. Uses are counted by the hour: an hour that overlaps counts as
 * a whole.
 */
export interface UsageRange {
  from: string
  to: string
  granularity: Granularity
}

export type Owner = { accountId: string } | { tokenId: string }

/** Limits of the work for an answer. */
export interface Effort {
  /** Ends the work, since nobody waits for the answer any more. */
  signal?: AbortSignal | undefined
  /** How many hours and days of tokens may be read; a range with more is refused. Default: any number. */
  mostBuckets?: number | undefined
}

/**
 * The buckets of a range, oldest first.
 * @param now RFC 3339 UTC
 * @throws Refusal `validation_failed` if there are more than may be read
 */
export async function* eachBucket(
  readModel: DocumentReader,
  owner: Owner,
  { range, now }: { range: UsageRange; now: string },
  { signal, mostBuckets }: Effort,
): AsyncGenerator<UsageDocument> {
  const walks = segments(range, now).map((segment) => walkOf(owner, segment))
  if (mostBuckets !== undefined) {
    let left = mostBuckets
    for (const { where } of walks) left -= await readModel.count('tokenUsage', where, left + 1, signal)
    if (left < 0) throw tooManyBuckets(mostBuckets)
  }
  for (const walk of walks) yield* eachDocument<UsageDocument>(readModel, 'tokenUsage', { ...walk, signal })
}

function tooManyBuckets(most: number): Refusal {
  const message = `the range has uses of more than ${most} hours or days, each token for itself: ask for less at a time, or by day`
  return new Refusal('validation_failed', 'The range is not valid.', [{ path: ['from'], message }])
}

/**
 * Which buckets to add up. Whole days come from day buckets. Days that are only partly in the range come from hour
 * buckets, and so does everything if hours are asked for. If the range reaches to now, today counts as a whole day.
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

/** How to read a segment. An index has the buckets of an account by time; those of one token are found by their ids. */
function walkOf(owner: Owner, { granularity, from, to }: UsageRange): DocumentWalk {
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
