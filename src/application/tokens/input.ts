import type { Change } from '../../domain/decide.ts'
import { type InputError, Refusal } from '../../domain/errors.ts'
import { expiryProblem, nameProblem, normaliseName, parseTime, scopeErrors } from '../../domain/rules.ts'

/** What people may say of a token, of the right types but not judged yet. Absent members stay as they are. */
export interface TokenInput {
  name?: string
  expires_at?: string | null
  scopes?: string[] | null
}

/** Judges input against the rules and the time. */
export function assertValid(change: Change, now: string, maxLifetimeDays: number | null): void {
  const errors: InputError[] = []
  const add = (pointer: string, message: string | null) => message && errors.push({ pointer, message })
  if (change.name !== undefined) add('/name', nameProblem(change.name))
  if (change.expiresAt !== undefined) {
    add('/expires_at', expiryProblem(change.expiresAt, now, maxLifetimeDays))
  }
  errors.push(...scopeErrors(change.scopes ?? []))
  if (errors.length > 0) throw invalid(errors)
}

/** One spelling for equal input, before any clock: what a repeat is compared by. */
export function normalise({ name, expires_at, scopes }: TokenInput): Change {
  const change: Change = {}
  if (name !== undefined) change.name = normaliseName(name)
  if (scopes !== undefined) change.scopes = [...new Set(scopes ?? [])]
  if (expires_at !== undefined) {
    change.expiresAt = expires_at === null ? null : parseTime(expires_at)
    if (expires_at !== null && change.expiresAt === null) {
      throw invalid([{ pointer: '/expires_at', message: 'must be an RFC 3339 time' }])
    }
  }
  return change
}

export const invalid = (errors: InputError[]) =>
  new Refusal('validation_failed', 'The input is not valid.', errors)
