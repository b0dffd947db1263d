import { type InputError, Refusal } from './errors.ts'

/** A scope that exists, as the host says. The description is for people who choose one. */
export interface CatalogueEntry {
  name: string
  description?: string
}

/** The names of the scopes that exist. Null: any well-formed name is a scope. */
export type Catalogue = ReadonlySet<string> | null

/** The scopes that somebody may give out: those that are known to be their own. Null: any scope. */
export type Ceiling = readonly string[] | null

interface Grantable {
  catalogue: Catalogue
  ceiling: Ceiling
  /** The scope that no token can have, since it makes an operator. Default: there is none. */
  reserved?: string | null | undefined
}

/**
 * Checks the scopes that a token is to have. Those that it has already may stay, whoever gave them.
 * @param had scopes that the token has already
 * @throws Refusal `validation_failed` for a scope that is reserved or not in the catalogue, then `scope_not_grantable` for one
 *   above the ceiling. Scopes are compared literally, so `*` is a scope like any other
 */
export function assertGrantable(
  scopes: readonly string[],
  had: readonly string[],
  { catalogue, ceiling, reserved = null }: Grantable,
): void {
  const isAdded = (scope: string): boolean => !had.includes(scope)
  const unknown = scopes.flatMap((scope, i): InputError[] =>
    isAdded(scope) && (scope === reserved || (catalogue && !catalogue.has(scope)))
      ? [{ path: ['scopes', i], message: 'is not one of the scopes that tokens can have' }]
      : [],
  )
  if (unknown.length > 0) throw new Refusal('validation_failed', 'The input is not valid.', unknown)
  const above = scopes.filter((scope) => isAdded(scope) && ceiling && !ceiling.includes(scope))
  if (above.length === 0) return
  const named = [...new Set(above)].join(' ')
  throw new Refusal('scope_not_grantable', `You lack scopes that you would give out: ${named}.`)
}
