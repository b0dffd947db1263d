import type { TokenUpdate } from '../../domain/decide.ts'
import { type InputError, Refusal } from '../../domain/errors.ts'
import { expiryProblem, nameProblem, normaliseName, parseTime, scopeErrors } from '../../domain/rules.ts'

/**
 * What people want a token to have. The types are right, but the values are not checked yet. Members that are left out
 * stay as they are.
 */
export interface TokenInput {
  name?: string
  /** RFC 3339. */
  expiresAt?: string | null
  scopes?: string[] | null
}

/** Checks input by the rules and the present time. */
export function assertValid(change: TokenUpdate, now: string, maxLifetimeDays: number | null): void {
  const errors: InputError[] = []
  const add = (name: keyof TokenUpdate, message: string | null) =>
    message && errors.push({ path: [name], message })
  if (change.name !== undefined) add('name', nameProblem(change.name))
  if (change.expiresAt !== undefined) {
    add('expiresAt', expiryProblem(change.expiresAt, now, maxLifetimeDays))
  }
  errors.push(...scopeErrors(change.scopes ?? []))
  if (errors.length > 0) throw invalid(errors)
}

/** Gives equal input one form, without looking at a clock. A repeated command is compared in this form. */
export function normalise({ name, expiresAt, scopes }: TokenInput): TokenUpdate {
  const change: TokenUpdate = {}
  if (name !== undefined) change.name = normaliseName(name)
  if (scopes !== undefined) change.scopes = [...new Set(scopes ?? [])]
  if (expiresAt !== undefined) {
    change.expiresAt = expiresAt === null ? null : parseTime(expiresAt)
    if (expiresAt !== null && change.expiresAt === null) {
      throw invalid([{ path: ['expiresAt'], message: 'must be an RFC 3339 time' }])
    }
  }
  return change
}

export const invalid = (errors: InputError[]) =>
  new Refusal('validation_failed', 'The input is not valid.', errors)
