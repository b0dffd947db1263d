import type { Principal } from '../domain/principal.ts'

/** A token that was found good. Times are milliseconds since 1970. */
export interface Introspected {
  principal: Principal
  createdAt: number
  /** Infinity: never. */
  expiresAt: number
}

/** RFC 7662 §2.2; null: a token that is not good, of which nothing else is said. */
export function presentIntrospection(token: Introspected | null): object {
  if (!token) return { active: false }
  const { principal, createdAt, expiresAt } = token
  return {
    active: true,
    scope: principal.scopes.join(' '),
    sub: principal.accountId,
    client_id: principal.tokenId,
    jti: principal.tokenId,
    token_type: 'Bearer',
    iat: seconds(createdAt),
    ...(Number.isFinite(expiresAt) ? { exp: seconds(expiresAt) } : {}),
  }
}

const seconds = (millis: number): number => Math.floor(millis / 1000)
