import type { TokenDocument } from '../../../projections/tokens.ts'
import { canonical } from '../../domain/chain.ts'
import * as decide from '../../domain/decide.ts'
import { DamagedError, Refusal } from '../../domain/errors.ts'
import type { EventData } from '../../domain/events.ts'
import { reasonProblem } from '../../domain/rules.ts'
import { assertGrantable, type Catalogue, type Ceiling } from '../../domain/scopes.ts'
import { type ExistingToken, statusAt, type TokenState } from '../../domain/token.ts'
import { type Folded, firstEvent, projected, unborn } from '../eventLog/tokenStream.ts'
import { iso } from '../ports/clock.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import type { AccountLimit } from './accountLimit.ts'
import { type CommandContext, createExecutor, type ExecuteDependencies } from './execute.ts'
import { assertValid, invalid, merged, normalise, type TokenInput } from './input.ts'
import { newSecret, type SecretMaker, type StoredSecret } from './newSecret.ts'
import { damagedToken, refusingDamage, revokeDamaged } from './revokeDamaged.ts'

export interface Created {
  token: ExistingToken
  /** The credential itself, which is shown once. Null if a creation was repeated with its idempotency key. */
  secret: string | null
}

export interface Manage {
  /**
   * @param ceiling the scopes that may be given out. Default: any
   * @throws Refusal, StoreUnavailableError, UnknownOutcomeError, DamagedError; so do the other methods
   */
  create(
    context: CommandContext,
    accountId: string,
    input: TokenInput,
    idempotencyKey: string | null,
    ceiling?: Ceiling,
  ): Promise<Created>
  update(
    context: CommandContext,
    target: Target,
    input: TokenInput,
    ceiling?: Ceiling,
  ): Promise<ExistingToken>
  /**
   * Also revokes a token whose history is damaged, if anything can be written to its stream.
   * @returns was it this call that has revoked it? If not, another one had
   */
  revoke(context: CommandContext, target: Target, reason: string | null): Promise<boolean>
}

export interface Target {
  tokenId: string
  /**
   * The token as the read model shows it, from which the stream is read on. Null: read from the first event. The read
   * model may be behind the stream. If the stream is behind the read model, or has other events, then the event store
   * has lost something, or belongs to another read model.
   */
  seen: TokenDocument | null
  ifMatch: (revision: number) => boolean
  /** Is the token closed because its history is damaged? */
  damaged?: boolean
}

/** A token as the read model shows it now. @param now RFC 3339 UTC */
export const targetOf = (seen: TokenDocument, ifMatch: Target['ifMatch'], now: string): Target => ({
  tokenId: seen.id,
  seen,
  ifMatch,
  damaged: statusAt(seen, now) === 'damaged',
})

/**
 * Revokes a token for whoever only wants its secrets to be dead: one that is damaged so that nothing can be written
 * behind its last event is closed in place of that, and the log says so.
 * @throws as `revoke`, but for that
 */
export async function revokeOrClose(
  { revoke }: Pick<Manage, 'revoke'>,
  ...asked: Parameters<Manage['revoke']>
): Promise<void> {
  try {
    await revoke(...asked)
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== 'token_damaged') throw error
  }
}

interface Dependencies extends ExecuteDependencies, SecretMaker {
  close: (tokenId: string, reason: string) => Promise<void>
  readModel: DocumentReader
  limit: AccountLimit
  maxLifetimeDays: number | null
  catalogue?: Catalogue
  /** The scope that no token can have. Default: there is none. */
  reservedScope?: string | null
}

/**
 * A token that expires within this time (milliseconds) may have expired by the time it is extended, so extending it
 * counts as a creation.
 */
const SOON_MS = 10_000
const UNCHANGEABLE = 'it cannot be changed. Revoke it, and make another one'

export function createManage(deps: Dependencies): Manage {
  const { store, clock, ids, catalogue = null, reservedScope: reserved = null } = deps
  const { execute, envelope } = createExecutor(deps)
  const assertGood = (change: decide.TokenUpdate, had: readonly string[] = []): void =>
    assertValid(change, had, {
      now: iso(clock()),
      maxLifetimeDays: deps.maxLifetimeDays,
      catalogue,
      reserved,
    })

  const refuseDamaged = <T>(tokenId: string, work: () => Promise<T>): Promise<T> =>
    refusingDamage(deps, { tokenId, advice: UNCHANGEABLE }, work)

  return {
    async create(context, accountId, input, idempotencyKey, ceiling = null) {
      const asked = wanted(input)
      const bodyHash = idempotencyKey === null ? undefined : ids.digest(canonical(asGiven(asked)))
      const tokenId = idempotencyKey === null ? ids.random() : ids.derived(accountId, idempotencyKey)

      const replay = async (): Promise<Created | null> => {
        const made = await firstEvent(store, tokenId)
        if (!made) return null
        if (made.metadata.bodyHash !== bodyHash) {
          throw new Refusal('idempotency_key_reused', 'This idempotency key was used with other input.')
        }
        const seen = (await deps.readModel.get('tokens', tokenId)) as TokenDocument | null
        const from = knownOf(tokenId, seen)
        const token = await execute({ context, tokenId, from, decide: () => null })
        return { token, secret: null }
      }

      const earlier = idempotencyKey === null ? null : await refuseDamaged(tokenId, replay)
      if (earlier) return earlier
      // As they were written, with those that come twice, so that an error names the right place.
      const scopes = input.scopes ?? []
      assertGood({ ...asked, scopes })
      assertGrantable(scopes, [], ceiling)
      const { secret, stored } = await newSecret(deps)
      const data = { tokenId, accountId, ...asked, ...stored }
      try {
        const creation = { context, tokenId, from: null, bodyHash }
        const token = await deps.limit.within(accountId, tokenId, () =>
          execute({ ...creation, decide: (state) => decide.create(state, data) }),
        )
        return { token, secret }
      } catch (error) {
        // Two requests had the same key at the same time. The second one repeats the first, whichever check has found
        // that.
        const isSecond = idempotencyKey !== null && error instanceof Refusal
        const second = isSecond ? await refuseDamaged(tokenId, replay) : null
        if (second) return second
        throw error
      }
    },

    async update(context, { tokenId, seen, ifMatch, damaged = false }, input, ceiling = null) {
      const change = normalise(input)
      const from = knownOf(tokenId, seen)
      /** Members that the token has already are not checked, since the rules, or the time, may no longer allow them. */
      const changeTo = (state: TokenState): decide.TokenUpdate => {
        const { metadata, ...others } = change
        if (state.status === 'none') return others
        const name = input.name === state.name ? { name: state.name } : {}
        const labels = metadata === undefined ? {} : { metadata: merged(state.metadata, metadata) }
        return decide.changed(state, { ...others, ...name, ...labels })
      }
      const assertMayChange = (state: TokenState, had: readonly string[] | null): void => {
        const changes = changeTo(state)
        // As they were written, with those that come twice, so that an error names the right place.
        if (changes.scopes !== undefined) changes.scopes = input.scopes ?? []
        const { scopes = [] } = changes
        assertGood(changes, had ?? scopes)
        assertGrantable(scopes, had ?? scopes, ceiling)
      }
      if (damaged) {
        // Nobody knows which scopes the token has.
        assertMayChange(from.state, [])
        throw damagedToken(UNCHANGEABLE)
      }
      const by = context.actor.kind
      return refuseDamaged(tokenId, () =>
        execute({
          context,
          tokenId,
          from,
          decide(state) {
            assertMayChange(state, state.status === 'none' ? null : state.scopes)
            return decide.update(state, changeTo(state), ifMatch, by)
          },
          admit: (state, work) =>
            isRevived(state, changeTo(state), clock())
              ? deps.limit.within(state.accountId, tokenId, work)
              : work(),
        }),
      )
    },

    async revoke(context, { tokenId, seen, ifMatch }, reason) {
      const problem = reason === null ? null : reasonProblem(reason)
      if (problem) throw invalid([{ path: ['reason'], message: problem }])
      const from = knownOf(tokenId, seen)
      let isNow = false
      try {
        await execute({
          context,
          tokenId,
          from,
          decide(state) {
            const fact = decide.revoke(state, reason, ifMatch)
            isNow = fact !== null
            return fact
          },
          attempts: Number.POSITIVE_INFINITY,
        })
        return isNow
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error
        const fact = { type: 'TokenRevoked' as const, data: { reason } }
        const id = ids.random()
        const target = { tokenId, seen: from.revision, ifMatch }
        return revokeDamaged(deps, target, error, (chain) =>
          envelope(fact, { id, context, chain, after: null, bodyHash: undefined }),
        )
      }
    },
  }
}

type Wanted = Omit<EventData<'TokenCreated'>, 'tokenId' | 'accountId' | keyof StoredSecret>

/** What a new token is to be, in the one form of all equal input. */
function wanted(input: TokenInput): Wanted {
  const { name = '', scopes = [], expiresAt = null, ...described } = normalise(input)
  const { description = null, metadata = null, allowedIps = null, rotatable = false } = described
  return {
    name,
    scopes,
    expiresAt,
    description,
    metadata: merged({}, metadata),
    allowedIps,
    rotatable,
  }
}

/**
 * The members that a repeated creation is compared by. Those that came later count only if they are not what they are
 * without being given, since keys of earlier creations have been digested without them.
 */
function asGiven({ name, scopes, expiresAt, ...later }: Wanted): object {
  const isGiven = ([, value]: [string, unknown]): boolean =>
    value !== null && value !== false && canonical(value) !== '{}'
  return { name, scopes, expiresAt, ...Object.fromEntries(Object.entries(later).filter(isGiven)) }
}

/** Does a change of the expiry make a token count again that no longer counts, or soon will not? */
const isRevived = (
  state: TokenState,
  { expiresAt }: decide.TokenUpdate,
  at: number,
): state is ExistingToken =>
  expiresAt !== undefined &&
  state.status === 'active' &&
  state.expiresAt !== null &&
  state.expiresAt <= iso(at + SOON_MS)

const knownOf = (tokenId: string, seen: TokenDocument | null): Folded =>
  seen ? projected(seen) : unborn(tokenId)
