import { type InputError, Refusal } from './errors.ts'
import { isScope } from './rules.ts'

/** A scope that exists, as the host says. The description is for people who choose one. */
export interface CatalogueEntry {
  name: string
  description?: string
}

/** The names of the scopes that exist. Null: any well-formed name is a scope. */
export type Catalogue = ReadonlySet<string> | null

/** The scopes that somebody may give out: those that are known to be their own. Null: any scope. */
export type Ceiling = readonly string[] | null

/** The scopes that tokens can have. */
export interface Available {
  catalogue: Catalogue
  /** The scope that no token can have, since it makes an operator. Null: there is none. */
  reserved: string | null
}

/**
 * Well-formed scopes that a token cannot have: those that are reserved or not in the catalogue. Those that it has
 * already may stay.
 * @param had scopes that the token has already
 */
export const unavailableErrors = (
  scopes: readonly string[],
  had: readonly string[],
  { catalogue, reserved }: Available,
): InputError[] =>
  scopes.flatMap((scope, i) =>
    !had.includes(scope) && isScope(scope) && (scope === reserved || (catalogue && !catalogue.has(scope)))
      ? [{ path: ['scopes', i], message: 'is not one of the scopes that tokens can have' }]
      : [],
  )

/**
 * Checks who gives out the scopes that a token is to have. Those that it has already may stay, whoever gave them.
 * @param had scopes that the token has already
 * @throws Refusal `scope_not_grantable` for a scope above the ceiling. Scopes are compared literally, so `*` is a scope
 *   like any other
 */
export function assertGrantable(scopes: readonly string[], had: readonly string[], ceiling: Ceiling): void {
  const above = scopes.filter((scope) => !had.includes(scope) && ceiling && !ceiling.includes(scope))
  if (above.length === 0) return
  const named = [...new Set(above)].join(' ')
  throw new Refusal('scope_not_grantable', `You lack scopes that you would give out: ${named}.`)
}
