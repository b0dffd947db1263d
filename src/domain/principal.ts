/** Who a request acts for, and by what kind of credential. */
export interface Principal {
  kind: 'token' | 'jwt'
  accountId: string
  /** Only for a token. */
  tokenId?: string
  /** A token's scopes; a JWT's `scope` claim. */
  scopes: readonly string[]
}
