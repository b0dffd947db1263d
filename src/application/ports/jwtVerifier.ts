export interface JwtClaims {
  accountId: string
  /** `sub`: whom the login has made it for. */
  subject: string
  /** Null: the JWT says nothing of scopes. */
  scopes: string[] | null
}

export interface JwtVerifier {
  /** @returns the claims, or why the token was refused, as text for the log only. It never throws for a bad token. */
  verify(token: string): JwtClaims | { refused: string; expired: boolean }
}
