export interface JwtClaims {
  /** Null: the JWT names no account. Only an operator needs none. */
  accountId: string | null
  /** `sub`: whom the login has made it for. */
  subject: string
  /** Null: the JWT says nothing of scopes. */
  scopes: string[] | null
  /** From when on it is refused, in milliseconds since 1970. */
  expiresAt: number
}

/** Why a JWT was refused, as text for the log only. */
export interface JwtRefusal {
  refused: string
  expired: boolean
}

export interface JwtVerifier {
  /**
   * It never throws for a bad JWT.
   * @returns a promise only if the key has to be fetched
   * @throws KeysUnavailableError if the keys cannot be had
   */
  verify(token: string): JwtClaims | JwtRefusal | Promise<JwtClaims | JwtRefusal>
}
