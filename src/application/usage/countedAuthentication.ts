import { hash } from 'node:crypto'
import { countedRoute } from '../../../projections/tokenActivity.ts'
import { limitedAs, mayBeUsedFrom } from '../../domain/address.ts'
import type {
  Accepted,
  Authenticator,
  Credential,
  Decision,
  Refused,
  Source,
} from '../authentication/authenticate.ts'
import type { TokenRecord } from '../authentication/records.ts'
import type { Asker } from '../scheduling/gate.ts'
import type { Recorder } from './recorder.ts'
import type { Use } from './window.ts'

/** Limits how many bad credentials an address may send, and says what its caller is told. */
export interface FailureLimit<Quota> {
  /** @param once if given, at most one failure with this mark is counted in a minute */
  count(caller: string, once?: string): Quota
  left(caller: string): number
}

/** What a credential was used for, as it is counted. */
export interface Purpose {
  method: string
  route: string
  userAgent: string | null
}

export interface Attempt extends Source {
  credential: Credential
  /** Called when the use is counted. Most of a request's purpose is known only at its end. */
  purpose: () => Purpose
  /**
   * Gets a function that counts the use, to be called once with its outcome. Not called if the use is stored
   * beforehand.
   */
  onAccepted: (count: (outcome: string) => void) => void
  /** Are failures limited: those of an address, and together those without one? */
  isLimited: boolean
}

/** A credential that is not good. `over` is present if its caller is beyond the limit of failures. */
export interface CountedRefusal<Quota> extends Refused {
  over?: Quota
}

export type CountedDecision<Quota> = Accepted | CountedRefusal<Quota>

interface Dependencies<Quota> {
  authenticator: Pick<Authenticator, 'authenticate'>
  recorder: Pick<Recorder, 'record' | 'store' | 'refused'>
  failures: FailureLimit<Quota>
  /** Called when a secret is accepted of which no use is known yet. Nobody waits for what it does. */
  onFirstUse: (use: { tokenId: string; secret: number; ip: string | null; userAgent: string | null }) => void
  /** If set, a use is stored before it is served. */
  strict: boolean
  now: () => number
}

export type CountedAuthentication<Quota> = (
  attempt: Attempt,
) => CountedDecision<Quota> | Promise<CountedDecision<Quota>>

/**
 * Authenticates, and counts. The use of a good credential is counted before or after it is served, by the audit mode. A
 * bad credential is counted as a failure of the address that it came from. Every way in which credentials come leads
 * here.
 * @returns a function that answers without a promise if everything it needs is in memory, and throws as the
 *   authenticator does
 */
export function createCountedAuthentication<Quota extends { exceeded: boolean }>(
  deps: Dependencies<Quota>,
): CountedAuthentication<Quota> {
  const { authenticator, recorder, failures, onFirstUse, strict, now } = deps

  function useOf(record: TokenRecord, { purpose, ip }: Attempt, outcome: string): Use {
    const { userAgent, ...asked } = purpose()
    const { method, route } = countedRoute(asked.method, asked.route)
    return { record, secret: record.secret, at: now(), outcome, method, route, ip, userAgent }
  }

  /** Such a use changes nothing. Its owner is told of it, since somebody still has the old secret. */
  function recordRetired(
    { purpose, ip }: Attempt,
    { tokenId, accountId, secretRevision: secret }: Refused,
  ): void {
    if (tokenId === undefined || accountId === undefined || secret === undefined) return
    const { userAgent } = purpose()
    recorder.refused({ tokenId, accountId, secret, at: now(), ip, userAgent })
  }

  function countFailure(attempt: Attempt, refusal: Refused): CountedRefusal<Quota> {
    if (!attempt.isLimited) return refusal
    const caller = limitedBy(attempt.ip)
    // Nobody has checked the credential, since its caller has no tries left.
    if (refusal.refused === 'limited') return { ...refusal, over: failures.count(caller) }
    const once = refusal.expired ? hash('sha256', attempt.credential.value, 'base64') : undefined
    const quota = failures.count(caller, once)
    return quota.exceeded ? { ...refusal, over: quota } : refusal
  }

  /**
   * The caller whose look-ups in vain are counted. Most requests need no look-up, so the name is made only when it is
   * needed.
   */
  function askerOf({ isLimited, ip }: Attempt): Asker | undefined {
    if (!isLimited) return undefined
    let known: string | undefined
    const name = () => (known ??= limitedBy(ip))
    return { name, left: () => failures.left(name()) }
  }

  function count(attempt: Attempt, decision: Decision): CountedDecision<Quota> {
    if ('refused' in decision) {
      recordRetired(attempt, decision)
      return countFailure(attempt, decision)
    }
    const { record } = decision
    const { ip } = attempt
    // A token revokes itself from anywhere. If that fails, its secret must not have become the one in use.
    if (record?.isUnused && mayBeUsedFrom(record.allowedIps, ip)) {
      const { userAgent } = attempt.purpose()
      onFirstUse({ tokenId: record.tokenId, secret: record.secret, ip, userAgent })
    }
    if (record && !strict) attempt.onAccepted((outcome) => recorder.record(useOf(record, attempt, outcome)))
    return decision
  }

  return (attempt) => {
    const store = strict
      ? (record: TokenRecord) => recorder.store(useOf(record, attempt, 'accepted'))
      : undefined
    const decision = authenticator.authenticate(attempt.credential, attempt, store, askerOf(attempt))
    return decision instanceof Promise
      ? decision.then((decided) => count(attempt, decided))
      : count(attempt, decision)
  }
}

/** Callers without an address share one count. */
export const limitedBy = (address: string | null): string =>
  address === null ? 'no address' : limitedAs(address)
