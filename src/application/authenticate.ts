import { isToken } from '../domain/credential.ts'
import type { Clock, JwtVerifier, Telemetry } from './ports.ts'
import type { Principal } from './principal.ts'
import type { TokenIndex, TokenRecord } from './tokenIndex.ts'

export interface Credential {
  kind: 'token' | 'jwt'
  value: string
}

/** The host's own account: an object, or null for one that is unknown or disabled. */
export type ResolveAccount = (accountId: string) => object | null | Promise<object | null>

export interface Accepted {
  principal: Principal
  account: object
  /** The record that decided, for a token. */
  record: TokenRecord | null
}

/** `reason` is for the log and the metrics, never for the caller. */
export interface Refused {
  refused: string
  expired: boolean
}

export type Decision = Accepted | Refused

export type BeforeServing = (record: TokenRecord) => Promise<void>

export interface Authenticator {
  /**
   * @param beforeServing called once with the record of an accepted token; strict audit stores the use here
   * @throws StoreUnavailableError, DamagedError, or what `resolveAccount` throws: outages, never a refusal
   */
  authenticate(credential: Credential, beforeServing?: BeforeServing): Promise<Decision>
}

interface Dependencies {
  index: TokenIndex
  jwt: JwtVerifier
  resolveAccount: ResolveAccount | undefined
  clock: Clock
  prefix: string
  telemetry: Telemetry
}

export function createAuthenticator(deps: Dependencies): Authenticator {
  const { index, jwt, resolveAccount, clock, prefix, telemetry } = deps

  async function byToken(token: string, beforeServing?: BeforeServing): Promise<Decision> {
    if (!isToken(prefix, token)) return refuse('malformed')
    let stored = false
    for (;;) {
      const found = index.find(token)
      const record = found instanceof Promise ? await found : found
      if (!record) return refuse('unknown')
      if (record.revoked) return refuse('revoked')
      if (record.stopped !== null) return refuse('stopped')
      if (record.expiresAt <= clock()) return refuse('expired', true)
      const { principal } = record
      const account = resolveAccount ? await resolveAccount(principal.accountId) : { id: principal.accountId }
      if (!account) return refuse('no_account')
      if (beforeServing && !stored && !record.stale) {
        await beforeServing(record)
        stored = true
      }
      // The token may have been revoked while the account was looked up: then nobody has said yes yet.
      if (!record.stale) return { principal, account, record }
    }
  }

  async function byJwt(token: string): Promise<Decision> {
    const claims = jwt.verify(token)
    if ('refused' in claims) return claims
    const { accountId, scopes } = claims
    const account = resolveAccount ? await resolveAccount(accountId) : { id: accountId }
    if (!account) return refuse('no_account')
    return { principal: { kind: 'jwt', accountId, scopes }, account, record: null }
  }

  return {
    async authenticate({ kind, value }, beforeServing) {
      try {
        const decision = await (kind === 'token' ? byToken(value, beforeServing) : byJwt(value))
        telemetry.authenticated(kind, 'refused' in decision ? decision.refused : 'accepted')
        return decision
      } catch (error) {
        telemetry.authenticated(kind, 'error')
        throw error
      }
    },
  }
}

const refuse = (refused: string, expired = false): Refused => ({ refused, expired })
