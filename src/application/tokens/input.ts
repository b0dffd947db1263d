import { canonicalBlock } from '../../domain/address.ts'
import type { TokenUpdate } from '../../domain/decide.ts'
import { type InputError, Refusal } from '../../domain/errors.ts'
import {
  allowedIpsErrors,
  descriptionProblem,
  expiryProblem,
  metadataErrors,
  nameProblem,
  normaliseDescription,
  normaliseName,
  parseTime,
  scopeErrors,
} from '../../domain/rules.ts'
import { type Available, unavailableErrors } from '../../domain/scopes.ts'

/**
 * What people want a token to have. The types are right, but the values are not checked yet. Members that are left out
 * stay as they are.
 */
export interface TokenInput {
  name?: string
  /** RFC 3339. */
  expiresAt?: string | null
  scopes?: string[] | null
  description?: string | null
  /** Merged into what is there, as RFC 7396 says: null takes a member away. */
  metadata?: Readonly<Record<string, string | null>> | null
  /** Addresses and CIDR blocks; null: it may be used from anywhere. */
  allowedIps?: string[] | null
  rotatable?: boolean
}

/** `TokenInput` in the one form of all equal input. Metadata are still to be merged. */
export type TokenChange = Omit<TokenUpdate, 'metadata'> & Pick<TokenInput, 'metadata'>

/** What input is checked by. */
export interface InputRules extends Available {
  /** RFC 3339 UTC. */
  now: string
  /** Null: a token may live for ever. */
  maxLifetimeDays: number | null
}

/**
 * Checks input by the rules and the present time.
 * @param had scopes that the token has already
 * @throws Refusal `validation_failed` that names all that is wrong
 */
export function assertValid(change: TokenUpdate, had: readonly string[], rules: InputRules): void {
  const errors: InputError[] = []
  const add = (name: keyof TokenUpdate, message: string | null) =>
    message && errors.push({ path: [name], message })
  if (change.name !== undefined) add('name', nameProblem(change.name))
  if (change.expiresAt !== undefined) {
    add('expiresAt', expiryProblem(change.expiresAt, rules.now, rules.maxLifetimeDays))
  }
  const { scopes = [] } = change
  errors.push(...scopeErrors(scopes), ...unavailableErrors(scopes, had, rules))
  if (change.description) add('description', descriptionProblem(change.description))
  errors.push(...metadataErrors(change.metadata ?? {}))
  if (change.allowedIps) errors.push(...allowedIpsErrors(change.allowedIps))
  if (errors.length > 0) throw invalid(errors)
}

/** Gives equal input one form, without looking at a clock. A repeated command is compared in this form. */
export function normalise({ name, expiresAt, scopes, description, ...others }: TokenInput): TokenChange {
  const { metadata, allowedIps, rotatable } = others
  const change: TokenChange = {}
  if (name !== undefined) change.name = normaliseName(name)
  if (scopes !== undefined) change.scopes = [...new Set(scopes ?? [])]
  if (expiresAt !== undefined) {
    change.expiresAt = expiresAt === null ? null : parseTime(expiresAt)
    if (expiresAt !== null && change.expiresAt === null) {
      throw invalid([{ path: ['expiresAt'], message: 'must be an RFC 3339 time' }])
    }
  }
  if (description !== undefined)
    change.description = description === null ? null : normaliseDescription(description)
  if (metadata !== undefined) change.metadata = metadata
  if (allowedIps !== undefined) change.allowedIps = allowedIps && normaliseBlocks(allowedIps)
  if (rotatable !== undefined) change.rotatable = rotatable
  return change
}

/** What is no block stays as it is, and is refused later. */
const normaliseBlocks = (blocks: readonly string[]): string[] => [
  ...new Set(blocks.map((block) => canonicalBlock(block) ?? block)),
]

/** Applies a change of metadata (RFC 7396). */
export function merged(
  metadata: Readonly<Record<string, string>>,
  change: Readonly<Record<string, string | null>> | null,
): Record<string, string> {
  const members = new Map(change === null ? [] : Object.entries(metadata))
  for (const [name, value] of Object.entries(change ?? {})) {
    if (value === null) members.delete(name)
    else members.set(name, value)
  }
  return Object.fromEntries(members)
}

export const invalid = (errors: InputError[]) =>
  new Refusal('validation_failed', 'The input is not valid.', errors)
