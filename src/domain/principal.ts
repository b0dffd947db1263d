/** Somebody who may see and revoke the tokens of all accounts. */
export interface Operator {
  kind: 'operator'
  /** The person, or what the host calls them. */
  subject: string
  /** May they look at tokens, but revoke none? */
  isReadOnly: boolean
  /** From when on their JWT is refused, in milliseconds since 1970. Default: never. */
  expiresAt?: number
}

/** A program that asks about tokens by OAuth, or revokes them. */
export interface Client {
  kind: 'client'
  /** Its id. */
  subject: string
}

/** Who a request acts for, and by what kind of credential. */
export interface Principal {
  /** `user` is somebody who is logged in to the host's app. */
  kind: 'token' | 'jwt' | 'user'
  accountId: string
  /** Only a token has one. */
  tokenId?: string
  /** Only a user has one: the person, if the host says who it is. */
  subject?: string
  /** The scopes of the token, of the JWT's claim, or those that the host says the user has. */
  scopes: readonly string[]
  /** Only a token has them: texts that were written into it for the host. */
  metadata?: Readonly<Record<string, string>>
}
