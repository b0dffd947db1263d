export interface JwtClaims {
  accountId: string
  scopes: string[]
}

export interface JwtVerifier {
  /** @returns the claims, or why the token was refused, as text for the log only. It never throws for a bad token. */
  verify(token: string): JwtClaims | { refused: string; expired: boolean }
}
