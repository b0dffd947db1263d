import { NOT_REVOKED, type TokenDocument } from '../../../projections/tokens.ts'
import { Refusal } from '../../domain/errors.ts'
import { neededReasonProblem } from '../../domain/rules.ts'
import { statusAt, type TokenStatus } from '../../domain/token.ts'
import { isUuid } from '../../domain/uuid.ts'
import { type Clock, iso } from '../ports/clock.ts'
import { ConflictError, StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { compareBy } from '../readModel/order.ts'
import { findById } from '../readModel/pages.ts'
import * as tokensThat from '../readModel/statuses.ts'
import type { CommandContext } from './execute.ts'
import type { Identify } from './identify.ts'
import { invalid } from './input.ts'
import { type Manage, targetOf } from './manage.ts'

/** Which tokens are to go: all of an account, those with these ids, or those that these secrets belong to. */
export type Revoked = { accountId: string } | { ids: readonly string[] } | { credentials: readonly string[] }

/** Why a token was not revoked. */
export type NotRevoked =
  | 'not_found'
  | 'already_revoked'
  | 'dry_run'
  | 'secret_retired'
  | 'store_unavailable'
  | 'token_damaged'
  | 'conflict'

export interface Revocation {
  /** Null: no token was found for what was named. */
  token: TokenDocument | null
  /** As it was before. */
  status: TokenStatus | null
  /** Null: it was revoked now. */
  why: NotRevoked | null
}

export interface Revocations {
  /** In the order in which the tokens were named. */
  data: Revocation[]
  /** How many tokens of the account are left, beyond those that one call takes. */
  remaining: number
}

/**
 * Revokes tokens, whoever they belong to. A dry run only says what would go.
 * @throws Refusal for a reason that is none; StoreUnavailableError if none of those that had to be revoked could be
 */
export type RevokeMany = (
  context: CommandContext,
  which: Revoked,
  how: { reason: string; isDryRun: boolean },
) => Promise<Revocations>

/** How many tokens one call revokes. */
const MOST_REVOKED = 1_000
const OLDEST_FIRST = { field: 'createdAt' }
/** How many are revoked at the same time. */
const AT_ONCE = 8

/** A token that was named, perhaps by a secret of it that is dead. */
type Named = { token: TokenDocument; isDead: boolean } | null

const named = (token: TokenDocument | undefined): Named => (token ? { token, isDead: false } : null)

interface Dependencies {
  readModel: DocumentReader
  identify: Identify
  manage: Pick<Manage, 'revoke'>
  clock: Clock
}

export function createRevokeMany({ readModel, identify, manage, clock }: Dependencies): RevokeMany {
  async function tokensOf(which: Revoked): Promise<Named[]> {
    if ('credentials' in which) return identify(which.credentials)
    if ('ids' in which) {
      const found = await findById<TokenDocument>(readModel, 'tokens', which.ids.filter(isUuid))
      const byId = new Map(found.map((token) => [token.id, token]))
      return which.ids.map((id) => named(byId.get(id)))
    }
    const found = await tokensThat.findInPhases(NOT_REVOKED, (phase) => {
      const where = tokensThat.inPhase(which.accountId, phase)
      return readModel.find('tokens', { where, order: OLDEST_FIRST, limit: MOST_REVOKED })
    })
    const oldest = found.sort(compareBy(OLDEST_FIRST)).slice(0, MOST_REVOKED)
    return (oldest as unknown[] as TokenDocument[]).map(named)
  }

  async function remainingOf(which: Revoked, taken: number): Promise<number> {
    if (!('accountId' in which) || taken < MOST_REVOKED) return 0
    return (await tokensThat.countEach(readModel, tokensThat.notRevoked(which.accountId))) - taken
  }

  return async (context, which, { reason, isDryRun }) => {
    const problem = neededReasonProblem(reason)
    if (problem !== null) throw invalid([{ path: ['reason'], message: problem }])
    const tokens = await tokensOf(which)
    const remaining = await remainingOf(which, tokens.length)
    const now = iso(clock())
    const seen = new Set<string>()
    const data = tokens.map((one): Revocation => {
      const token = one?.token
      // A token of which only uses are known has no account, and nobody can change it.
      if (!token || (token.accountId as string | undefined) === undefined)
        return { token: null, status: null, why: 'not_found' }
      const status = statusAt(token, now)
      const isDead = one?.isDead ?? false
      const isRepeat = seen.has(token.id)
      // A dead secret revokes nothing, so a living one of the same token, named after it, has to.
      if (!isDead) seen.add(token.id)
      if (status === 'revoked' || isRepeat) return { token, status, why: 'already_revoked' }
      if (isDead) return { token, status, why: 'secret_retired' }
      return { token, status, why: isDryRun ? 'dry_run' : null }
    })
    const due = data.filter(({ why }) => why === null)
    const failures: unknown[] = []
    const left = due.values()
    const work = async (): Promise<void> => {
      for (const row of left) {
        try {
          const target = targetOf(row.token as TokenDocument, () => true, now)
          // Somebody else may have been faster since the token was looked up.
          if (!(await manage.revoke(context, target, reason)))
            Object.assign(row, { status: 'revoked', why: 'already_revoked' })
        } catch (error) {
          row.why = whyNot(error)
          if (row.why === 'store_unavailable') failures.push(error)
        }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    if (due.length > 0 && failures.length === due.length) throw failures[0]
    return { data, remaining }
  }
}

/** @throws what is neither an outage nor a state of the token */
function whyNot(error: unknown): NotRevoked {
  if (error instanceof StoreUnavailableError || error instanceof UnknownOutcomeError)
    return 'store_unavailable'
  if (error instanceof ConflictError) return 'conflict'
  if (!(error instanceof Refusal)) throw error
  switch (error.code) {
    case 'not_found':
    case 'token_damaged':
    case 'conflict':
      return error.code
    default:
      throw error
  }
}
