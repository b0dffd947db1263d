import { Refusal } from '../../src/domain/errors.ts'
import { WrongUse } from './command.ts'

const DATE = /^\d{4}-\d\d-\d\d$/

/** A date stands for its first moment, in UTC. */
export const timeOrDate = <T extends string | undefined>(text: T): T | string =>
  text !== undefined && DATE.test(text) ? `${text}T00:00:00Z` : text

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
