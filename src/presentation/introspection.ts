import type { Principal } from '../domain/principal.ts'

/** A token that was found good. Times are milliseconds since 1970. */
export interface Introspected {
  principal: Principal
  createdAt: number
  /** Infinity: never. */
  expiresAt: number
  /** When the secret that was shown retires; Infinity: not as far as anybody knows. */
  retiresAt: number
}

/** RFC 7662 §2.2; null: a token that is not good, of which nothing else is said. */
export function presentIntrospection(token: Introspected | null): object {
  if (!token) return { active: false }
  const { principal, createdAt, expiresAt, retiresAt } = token
  const end = Math.min(expiresAt, retiresAt)
  return {
    active: true,
    scope: principal.scopes.join(' '),
    sub: principal.accountId,
    client_id: principal.tokenId,
    jti: principal.tokenId,
    token_type: 'Bearer',
    iat: seconds(createdAt),
    ...(Number.isFinite(end) ? { exp: seconds(end) } : {}),
  }
}

const seconds = (millis: number): number => Math.floor(millis / 1000)
