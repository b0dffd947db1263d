/** Who a request acts for, and by what kind of credential. */
export interface Principal {
  kind: 'token' | 'jwt'
  accountId: string
  /** Only for a token. */
  tokenId?: string
  /** A token's scopes; those of a JWT's claim. */
  scopes: readonly string[]
}
