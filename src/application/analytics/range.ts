import type { Granularity } from '../../../projections/tokenUsage.ts'
import { type InputError, Refusal } from '../../domain/errors.ts'
import { parseTime } from '../../domain/rules.ts'
import { DAY_MS } from '../../domain/time.ts'
import type { UsageRange } from './buckets.ts'

/** A range as people write it: RFC 3339 times, both of them optional. */
export interface RangeInput {
  from?: string | undefined
  to?: string | undefined
  granularity?: string | undefined
}

/** Reads a time in the past. @throws Refusal for text that is no RFC 3339 time, and for a time in the future */
export function sinceTime(text: string, now: string): string {
  const since = parseTime(text)
  if (since !== null && since <= now) return since
  const message = since === null ? 'must be an RFC 3339 time' : 'must not be after now'
  throw new Refusal('validation_failed', 'The time is not valid.', [{ path: ['since'], message }])
}

const DEFAULT_DAYS = 30
const GRANULARITIES: readonly Granularity[] = ['hour', 'day']

/**
 * The range that is asked for. Defaults: it ends at `now` (RFC 3339 UTC), begins 30 days before its end, and is given
 * by the day.
 * @throws Refusal `validation_failed` with every problem
 */
export function usageRange(input: RangeInput, now: string): UsageRange {
  const errors: InputError[] = []
  const granularity = GRANULARITIES.find((known) => known === (input.granularity ?? 'day'))
  if (!granularity) errors.push({ path: ['granularity'], message: 'must be hour or day' })
  const time = (name: 'from' | 'to', fallback: string): string => {
    const text = input[name]
    const at = text === undefined ? fallback : parseTime(text)
    if (at === null) errors.push({ path: [name], message: 'must be an RFC 3339 time' })
    return at ?? fallback
  }
  const to = time('to', now)
  const from = time('from', new Date(Date.parse(to) - DEFAULT_DAYS * DAY_MS).toISOString())
  if (from > to) errors.push({ path: ['from'], message: 'must not be after to' })
  if (errors.length > 0 || !granularity)
    throw new Refusal('validation_failed', 'The range is not valid.', errors)
  return { from, to, granularity }
}
