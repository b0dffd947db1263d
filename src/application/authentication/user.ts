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
  /** May this person see and revoke the tokens of all accounts, by `operatorRoutes()`? Default: no. */
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
 * ceiling at all. Each member is read once, wherever it comes from: it may be a getter, or be inherited.
 * @returns a copy, which the host cannot change; null for nobody
 * @throws TypeError that names what is wrong, without its value
 */
export function userOf(returned: unknown): User | null {
  if (returned === null) return null
  if (typeof returned !== 'object' || Array.isArray(returned))
    throw new TypeError('resolveUser must return an object, or null for nobody')
  for (const name in returned)
    if (!Object.hasOwn(members, name)) throw new TypeError(`resolveUser may not return a member ${name}`)
  const user: Record<string, unknown> = {}
  for (const [name, isValid] of Object.entries(members)) {
    const given = (returned as Record<string, unknown>)[name]
    const value: unknown = Array.isArray(given) ? [...given] : given
    // A member that is undefined counts as left out.
    if (value === undefined) continue
    if (!isValid(value)) throw new TypeError(`resolveUser returned a member ${name} that is none`)
    user[name] = value
  }
  if (user.accountId === undefined) throw new TypeError('resolveUser must return an accountId')
  return user as unknown as User
}
