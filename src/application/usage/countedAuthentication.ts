import { hash } from 'node:crypto'
import { countedRoute } from '../../../projections/tokenActivity.ts'
import { limitedAs } from '../../domain/address.ts'
import type {
  Accepted,
  Authenticator,
  Credential,
  Decision,
  Refused,
} from '../authentication/authenticate.ts'
import type { TokenRecord } from '../authentication/records.ts'
import type { Asker } from '../scheduling/gate.ts'
import type { Recorder } from './recorder.ts'

/** How many credentials an address may get wrong, and what is told of it. */
export interface FailureLimit<Quota> {
  /** @param once counts at most one failure with this mark a minute */
  count(caller: string, once?: string): Quota
  left(caller: string): number
}

/** What a credential is used for, as its use is counted. */
export interface Purpose {
  method: string
  route: string
  ip: string | null
  userAgent: string | null
}

export interface Attempt {
  credential: Credential
  /** Asked for when the use is counted: of a request, most of it is known at its end only. */
  purpose: () => Purpose
  /** Gets what counts the use, to be called once with its outcome. Not called where the use is stored before. */
  onAccepted: (count: (outcome: string) => void) => void
  /** Whose failures are limited: an address, null for those without one together, or nobody's. */
  limited: { address: string | null } | 'not'
}

/** A credential that is not good. `over` is there where its caller is beyond the limit of failures. */
export interface CountedRefusal<Quota> extends Refused {
  over?: Quota
}

export type CountedDecision<Quota> = Accepted | CountedRefusal<Quota>

interface Dependencies<Quota> {
  authenticator: Pick<Authenticator, 'authenticate'>
  recorder: Pick<Recorder, 'record' | 'store'>
  failures: FailureLimit<Quota>
  /** A use is stored before it is served. */
  strict: boolean
  now: () => number
}

export type CountedAuthentication<Quota> = (
  attempt: Attempt,
) => CountedDecision<Quota> | Promise<CountedDecision<Quota>>

/**
 * Authenticates, and counts: the use of a good credential, by the audit mode before or after it is served, and the
 * failure of another one by the address that it came from. Every door for credentials comes here.
 * @returns a function that answers at once where all it needs is in memory, and throws as the authenticator does
 */
export function createCountedAuthentication<Quota extends { exceeded: boolean }>(
  deps: Dependencies<Quota>,
): CountedAuthentication<Quota> {
  const { authenticator, recorder, failures, strict, now } = deps

  const useOf = (record: TokenRecord, { method, route, ...from }: Purpose, outcome: string) => ({
    record,
    at: now(),
    outcome,
    ...countedRoute(method, route),
    ...from,
  })

  function countFailure(attempt: Attempt, refusal: Refused): CountedRefusal<Quota> {
    if (attempt.limited === 'not') return refusal
    const caller = limitedBy(attempt.limited.address)
    // Nobody has judged it, since its caller has none left.
    if (refusal.refused === 'limited') return { ...refusal, over: failures.count(caller) }
    const once = refusal.expired ? hash('sha256', attempt.credential.value, 'base64') : undefined
    const quota = failures.count(caller, once)
    return quota.exceeded ? { ...refusal, over: quota } : refusal
  }

  /** Who a look-up in vain counts against. Most requests need none, and no name either. */
  function askerOf(limited: Attempt['limited']): Asker | undefined {
    if (limited === 'not') return undefined
    let known: string | undefined
    const name = () => (known ??= limitedBy(limited.address))
    return { name, left: () => failures.left(name()) }
  }

  function count(attempt: Attempt, decision: Decision): CountedDecision<Quota> {
    if ('refused' in decision) return countFailure(attempt, decision)
    const { record } = decision
    if (record && !strict) {
      attempt.onAccepted((outcome) => recorder.record(useOf(record, attempt.purpose(), outcome)))
    }
    return decision
  }

  return (attempt) => {
    const store = strict
      ? (record: TokenRecord) => recorder.store(useOf(record, attempt.purpose(), 'accepted'))
      : undefined
    const decision = authenticator.authenticate(attempt.credential, store, askerOf(attempt.limited))
    return decision instanceof Promise
      ? decision.then((decided) => count(attempt, decided))
      : count(attempt, decision)
  }
}

/** Those without an address share one count. */
const limitedBy = (address: string | null): string => (address === null ? 'no address' : limitedAs(address))
