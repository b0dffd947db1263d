/** Who a request acts for, and by what kind of credential. */
export interface Principal {
  /** `user`: somebody who is logged in to the host's app. */
  kind: 'token' | 'jwt' | 'user'
  accountId: string
  /** Only for a token. */
  tokenId?: string
  /** Only for a user: the person, where the host says who it is. */
  subject?: string
  /** A token's scopes; those of a JWT's claim, or those that the host says a user has. */
  scopes: readonly string[]
}
