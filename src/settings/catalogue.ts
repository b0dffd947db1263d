import { isScope } from '../domain/rules.ts'
import type { CatalogueEntry } from '../domain/scopes.ts'

/**
 * Checks the scopes that a host says exist: `[{ name, description? }]`.
 * @throws Error naming what is wrong
 */
export function catalogueOf(given: unknown): CatalogueEntry[] {
  if (!Array.isArray(given) || !given.every(isObject)) throw new Error(`must be ${SHAPE}`)
  const entries = given.map(entryOf)
  if (new Set(entries.map(({ name }) => name)).size < entries.length)
    throw new Error('must not name a scope twice')
  return entries
}

const SHAPE =
  "a list of { name, description }, of which the description may be left out, such as [{ name: 'orders:read' }]"

const isObject = (value: unknown): value is object => value !== null && typeof value === 'object'

function entryOf(given: object): CatalogueEntry {
  const { name, description, ...others } = given as Record<string, unknown>
  if (typeof name !== 'string' || !isScope(name))
    throw new Error('must hold names of scopes like orders:read: [a-z0-9][a-z0-9:._*-]{0,63}')
  if (!['string', 'undefined'].includes(typeof description))
    throw new Error('must have descriptions that are text')
  if (Object.keys(others).length > 0) throw new Error('must have no members but name and description')
  return description === undefined ? { name } : { name, description: description as string }
}

/** Names of scopes, separated by white space. */
export const parseCatalogue = (text: string): CatalogueEntry[] =>
  catalogueOf(
    text
      .trim()
      .split(/\s+/)
      .map((name) => ({ name })),
  )
