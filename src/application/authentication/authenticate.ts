import { mayBeUsedFrom } from '../../domain/address.ts'
import { hasTokenLength, isToken } from '../../domain/credential.ts'
import { type Asker, OverLimitError } from '../scheduling/gate.ts'
import type { Clock } from '../ports/clock.ts'
import type { JwtVerifier } from '../ports/jwtVerifier.ts'
import { HostError } from '../ports/errors.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import type { Operator, Principal } from '../../domain/principal.ts'
import type { Ceiling } from '../../domain/scopes.ts'
import type { Found, TokenIndex } from './tokenIndex.ts'
import type { TokenRecord } from './records.ts'
import type { User } from './user.ts'

export interface Credential {
  /**
   * By its shape, a `legacy` credential may be a token of an older system. It is looked for among the imported ones.
   */
  kind: 'token' | 'legacy' | 'jwt'
  value: string
}

/** Where a credential comes from. */
export interface Source {
  /** The caller's address, in canonical form; null: there is none. */
  ip: string | null
  /** Which tokens may do what they ask for from any address. Left out: none but those that are good anywhere. */
  fromAnywhere?: ((tokenId: string) => boolean) | undefined
}

/** The host's own account: an object, or null if it is unknown or disabled. */
export type ResolveAccount<Account extends object = object> = (
  accountId: string,
) => Account | null | Promise<Account | null>

export interface Accepted {
  principal: Principal
  account: object
  /** Who uses a JWT or a user's login: the person, if the account is a company. */
  subject?: string
  /** For a token, the record that was used for the decision. */
  record: TokenRecord | null
  /** The scopes that it may give out. */
  ceiling: Ceiling
  /** May it look at tokens, but change none? Default: no. */
  isReadOnly?: boolean
  /** From when on a JWT is refused, in milliseconds since 1970. */
  expiresAt?: number
}

/** The reason of a good token's refusal at an address that it may not be used from: the only one that callers learn. */
export const ELSEWHERE = 'ip_not_allowed'

/** `refused` is the reason. It is for the log and the metrics, never for the caller, but for `ELSEWHERE`. */
export interface Refused {
  /** `limited`: the credential was not checked, since its caller may not cause any work for a store now. */
  refused: string
  expired: boolean
  /** The id of a token that is known, but no longer good. */
  tokenId?: string
  accountId?: string
  /**
   * The revision of the event that brought the secret, if it was one of the token's until a rotation. It goes to the
   * log, which hides whatever is called a secret.
   */
  secretRevision?: number
}

export type Decision = Accepted | Refused

export type BeforeServing = (record: TokenRecord) => Promise<void>

export interface Authenticator {
  /**
   * Answers without a promise if everything it needs is in memory, since a promise is a large part of a request's cost.
   * @param beforeServing called once with the record of an accepted token; strict audit stores the use here
   * @param asker the caller: if it has no tries left, it is answered from memory, or with `limited`
   * @throws StoreUnavailableError, DamagedError, HostError if `resolveAccount` fails: this is never a refusal
   */
  authenticate(
    credential: Credential,
    source: Source,
    beforeServing?: BeforeServing,
    asker?: Asker,
  ): Decision | Promise<Decision>
  /**
   * For a user whom the host has authenticated. Only the account has to be resolved.
   * @throws what `resolveAccount` throws
   */
  authenticateUser(user: User): Promise<Decision>
  /**
   * Operators need no account, and the host is not asked.
   * @returns null for a JWT that is bad, and for one of somebody else
   * @throws KeysUnavailableError if the keys of JWTs cannot be had
   */
  operatorOf(token: string): Promise<Operator | null>
}

type Kind = Credential['kind'] | 'user'
type Find = () => TokenRecord | Promise<Found>

/** A decision for which something has to be waited for. */
interface Waiting {
  find: Find
  /** What the first look-up gave, or will give. */
  first: ReturnType<Find>
  source: Source
  beforeServing: BeforeServing | undefined
  asker: Asker | undefined
}

/**
 * How many accounts are remembered that the host did not know when it was last asked. Beyond this, all are forgotten.
 */
const CLOSED_CAP = 10_000

interface Dependencies {
  index: Pick<TokenIndex, 'held' | 'find' | 'isCurrent'>
  jwt: JwtVerifier
  resolveAccount: ResolveAccount | undefined
  clock: Clock
  prefix: string
  /** The scope of a JWT that makes its bearer an operator; null: none does. */
  operatorScope: string | null
  telemetry: Telemetry
}

export function createAuthenticator(deps: Dependencies): Authenticator {
  const { index, jwt, resolveAccount, clock, prefix, operatorScope, telemetry } = deps
  const closed = new Set<string>()

  /** Checks a record by itself. @returns a refusal, or null for a good one */
  function flaw(record: TokenRecord): Refused | null {
    if (record.revoked) return refuseKnown(record, 'revoked')
    if (record.stopped !== null) return refuseKnown(record, 'stopped')
    const now = clock()
    if (record.retiresAt <= now)
      return { ...refuseKnown(record, 'retired', true), secretRevision: record.secret }
    return record.expiresAt <= now ? refuseKnown(record, 'expired', true) : null
  }

  /** What comes behind all that makes a credential bad: is it used where it may be? @returns null if it is */
  function misplaced(record: TokenRecord, { ip, fromAnywhere }: Source): Refused | null {
    if (mayBeUsedFrom(record.allowedIps, ip) || fromAnywhere?.(record.tokenId)) return null
    return refuseKnown(record, ELSEWHERE)
  }

  /** The record that was found, if it is good. */
  function goodOf(found: Found): TokenRecord | Refused {
    if (!found) return refuse('unknown')
    if ('isRetired' in found) {
      const { tokenId, accountId, secret: secretRevision } = found
      return { ...refuse('retired', true), tokenId, ...(accountId !== null && { accountId }), secretRevision }
    }
    return flaw(found) ?? found
  }

  /**
   * @throws OverLimitError if the host did not know the account before, and the caller may not cause another question
   */
  async function accountOf(accountId: string, asker: Asker | undefined): Promise<object | null> {
    if (!resolveAccount) return { id: accountId }
    if (asker && asker.left() <= 0 && closed.has(accountId)) throw new OverLimitError()
    const account = await askHost(resolveAccount, accountId)
    closed.delete(accountId)
    if (account) return account
    closed.add(accountId)
    if (closed.size > CLOSED_CAP) closed.clear()
    return null
  }

  function byRecord(
    { kind, value }: Credential,
    source: Source,
    beforeServing: BeforeServing | undefined,
    asker: Asker | undefined,
  ): Decision | Promise<Decision> {
    // What is in memory has been found to be well-formed, and checking that once more takes as long as finding it.
    const isLegacy = kind === 'legacy'
    let record: ReturnType<Find> | null = hasTokenLength(prefix, value) ? index.held(value, isLegacy) : null
    if (!record && !isLegacy && !isToken(prefix, value)) return refuse('malformed')
    const find = () => index.find(value, isLegacy, asker)
    record ??= find()
    if (record instanceof Promise || resolveAccount || beforeServing)
      return withWaiting({ find, first: record, source, beforeServing, asker })
    return flaw(record) ?? misplaced(record, source) ?? accept(record, { id: record.principal.accountId })
  }

  /** Continues the decision if something has to be waited for: the record, the account, or the event store. */
  async function withWaiting({ find, first, source, beforeServing, asker }: Waiting): Promise<Decision> {
    let account: object | null = null
    let stored = false
    for (let found = first; ; found = find()) {
      const record = goodOf(await found)
      if ('refused' in record) return record
      const { accountId } = record.principal
      account ??= await accountOf(accountId, asker)
      if (!account) return refuse('no_account')
      const elsewhere = misplaced(record, source)
      if (elsewhere) return elsewhere
      if (beforeServing && !stored && index.isCurrent(record)) {
        await beforeServing(record)
        stored = true
      }
      // The token may have been revoked during the wait. Nobody has accepted it yet.
      if (index.isCurrent(record)) return accept(record, account)
    }
  }

  async function byJwt(token: string, asker: Asker | undefined): Promise<Decision> {
    const claims = await jwt.verify(token)
    if ('refused' in claims) return claims
    const { accountId, subject, scopes, expiresAt } = claims
    if (accountId === null) return refuse('no_account_claim')
    const account = await accountOf(accountId, asker)
    if (!account) return refuse('no_account')
    const principal: Principal = { kind: 'jwt', accountId, scopes: scopes ?? [] }
    return { principal, account, subject, record: null, ceiling: scopes, expiresAt }
  }

  async function byUser({ accountId, subject, scopes, can }: User): Promise<Decision> {
    const account = await accountOf(accountId, undefined)
    if (!account) return refuse('no_account')
    const person = subject === undefined ? {} : { subject }
    const principal: Principal = { kind: 'user', accountId, ...person, scopes: scopes ?? [] }
    const isReadOnly = can !== undefined && !can.includes('write')
    return { principal, account, ...person, record: null, ceiling: scopes ?? null, isReadOnly }
  }

  async function counted(kind: Kind, pending: Promise<Decision>): Promise<Decision> {
    try {
      return count(kind, await pending)
    } catch (error) {
      if (error instanceof OverLimitError) return count(kind, refuse('limited'))
      telemetry.authenticated(kind, 'error')
      throw error
    }
  }

  function count(kind: Kind, decision: Decision): Decision {
    telemetry.authenticated(kind, 'refused' in decision ? decision.refused : 'accepted')
    return decision
  }

  return {
    authenticate(credential, source, beforeServing, asker) {
      const { kind, value } = credential
      const decision =
        kind === 'jwt' ? byJwt(value, asker) : byRecord(credential, source, beforeServing, asker)
      return decision instanceof Promise ? counted(kind, decision) : count(kind, decision)
    },
    authenticateUser: (user) => counted('user', byUser(user)),
    async operatorOf(token) {
      if (operatorScope === null) return null
      const claims = await jwt.verify(token)
      if ('refused' in claims || !claims.scopes?.includes(operatorScope)) return null
      telemetry.authenticated('operator', 'accepted')
      return { kind: 'operator', subject: claims.subject, isReadOnly: false, expiresAt: claims.expiresAt }
    },
  }
}

/** @throws HostError */
async function askHost(resolveAccount: ResolveAccount, accountId: string): Promise<object | null> {
  let account: unknown
  try {
    account = await resolveAccount(accountId)
  } catch (error) {
    throw new HostError(error)
  }
  // The rows that a query has found are no account, even where there are none.
  const what = Array.isArray(account) ? 'an array' : typeof account
  if (what === 'object') return account as object | null
  throw new HostError(
    new TypeError(`resolveAccount must return an account object or null, and returned ${what}`),
  )
}

const refuse = (refused: string, expired = false): Refused => ({ refused, expired })

const refuseKnown = ({ tokenId, principal }: TokenRecord, refused: string, expired = false): Refused => ({
  ...refuse(refused, expired),
  tokenId,
  accountId: principal.accountId,
})

const accept = (record: TokenRecord, account: object): Accepted => ({
  principal: record.principal,
  account,
  record,
  ceiling: record.principal.scopes,
})
