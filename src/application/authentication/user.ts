import { isAccountId } from '../../domain/rules.ts'

/** Somebody who is logged in to the host's app, as the host says. */
export interface User {
  accountId: string
  /** The person, for the history. Default: the account. */
  subject?: string | undefined
  /**
   * The scopes of this person, which limit those of their tokens. Left out: they are not known, and any scope may be
   * given.
   */
  scopes?: readonly string[] | undefined
  /** `['read']`, or `['read', 'write']`, which is the default. */
  can?: readonly ('read' | 'write')[] | undefined
  /** Accepted, but without effect. */
  operator?: boolean | undefined
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')

const isCan = (value: unknown): boolean =>
  isTexts(value) && value.includes('read') && value.every((one) => one === 'read' || one === 'write')

const members: Record<keyof User, (value: unknown) => boolean> = {
  accountId: isAccountId,
  subject: isAccountId,
  scopes: isTexts,
  can: isCan,
  operator: (value) => typeof value === 'boolean',
}

/**
 * Checks what the host's function has returned. An unknown member is refused, since a misspelt `scopes` would be no
 * ceiling at all.
 * @returns null for nobody
 * @throws TypeError that names what is wrong, without its value
 */
export function userOf(returned: unknown): User | null {
  if (returned === null) return null
  if (typeof returned !== 'object' || Array.isArray(returned))
    throw new TypeError('resolveUser must return an object, or null for nobody')
  for (const [name, value] of Object.entries(returned)) {
    if (!Object.hasOwn(members, name)) throw new TypeError(`resolveUser may not return a member ${name}`)
    // A member that is undefined counts as left out.
    if (value !== undefined && !members[name as keyof User](value))
      throw new TypeError(`resolveUser returned a member ${name} that is none`)
  }
  const user = returned as User
  if (user.accountId === undefined) throw new TypeError('resolveUser must return an accountId')
  return user
}
