export interface JwtClaims {
  accountId: string
  /** `sub`: whom the login has made it for. */
  subject: string
  scopes: string[]
}

export interface JwtVerifier {
  /** @returns why it was refused as text, for the log only. Never throws for a bad token. */
  verify(token: string): JwtClaims | { refused: string; expired: boolean }
}
