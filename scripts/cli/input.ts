import { Refusal } from '../../src/domain/errors.ts'
import { parseTime } from '../../src/domain/rules.ts'
import { DAY_MS } from '../../src/domain/time.ts'
import { WrongUse } from './command.ts'

const DATE = /^\d{4}-\d\d-\d\d$/

/**
 * The moment of a day (UTC) that a date alone stands for: its first moment, its last one, or the start of the next day.
 */
export type OfDay = 'start' | 'last' | 'end'

export const TIME_OR_DATE = 'an RFC 3339 time (2026-11-23T09:00:00Z) or a date (2026-11-23, a day in UTC)'

/** @returns RFC 3339 UTC with milliseconds, null for text that is neither a time nor a date */
export function momentOf(text: string, ofDay: OfDay): string | null {
  if (!DATE.test(text)) return parseTime(text)
  const start = parseTime(`${text}T00:00:00Z`)
  if (start === null || ofDay === 'start') return start
  const end = Date.parse(start) + DAY_MS - (ofDay === 'last' ? 1 : 0)
  return parseTime(new Date(end).toISOString())
}

/** @throws WrongUse that names the forms which are accepted */
export function timeOrDate<T extends string | undefined>(text: T, name: string, ofDay: OfDay): T | string {
  if (text === undefined) return text
  const time = momentOf(text, ofDay)
  if (time === null) throw new WrongUse(`${name} must be ${TIME_OR_DATE}.`)
  return time
}

/**
 * `--from` and `--to`. A date stands for the whole day, which is included.
 * @throws WrongUse
 */
export function rangeFrom({ from, to }: { from?: string; to?: string }) {
  // The end of the day before `from` is the start of `from`, and yet this is no range.
  const isReversed = from !== undefined && to !== undefined && DATE.test(from) && DATE.test(to) && to < from
  return {
    from: timeOrDate(from, '--from', 'start'),
    to: timeOrDate(to, '--to', isReversed ? 'start' : 'end'),
  }
}

/** @throws WrongUse naming the options that `work` refuses */
export function checked<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    throw new WrongUse(error.errors.map(({ path, message }) => `--${path.join('/')} ${message}.`).join('\n'))
  }
}

/** @throws WrongUse */
export function wholeNumber(text: string | undefined, name: string, fallback: number, max: number): number {
  if (text === undefined) return fallback
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (number < 1 || number > max) throw new WrongUse(`${name} must be a whole number from 1 to ${max}.`)
  return number
}
