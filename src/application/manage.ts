import type { TokenDocument } from '../../projections/tokens.ts'
import { canonical, link } from '../domain/chain.ts'
import { formatToken, hashToken, hintOf, type Pepper } from '../domain/credential.ts'
import * as decide from '../domain/decide.ts'
import { DamagedError, type InputError, Refusal } from '../domain/errors.ts'
import {
  type Actor,
  type LifecycleEvent,
  type LifecycleType,
  type NewEvent,
  type StoredEvent,
  tokenStream,
} from '../domain/events.ts'
import {
  expiryProblem,
  nameProblem,
  normaliseName,
  parseTime,
  reasonProblem,
  scopeErrors,
} from '../domain/rules.ts'
import { type ExistingToken, evolve, type TokenState } from '../domain/token.ts'
import { versions } from '../domain/upcast.ts'
import { appendUntilKnown } from './append.ts'
import type { Ids } from './ids.ts'
import type { AccountLimit } from './limit.ts'
import { type Folded, firstEvent, loadOn, projected, unborn } from './load.ts'
import {
  type Clock,
  ConflictError,
  type EventStore,
  iso,
  type ReadModel,
  StoreUnavailableError,
  type Telemetry,
  UnknownOutcomeError,
} from './ports.ts'
import { damagedToken, revokeDamaged } from './revokeDamaged.ts'

/** Who asks, for the metadata of what comes of it. */
export interface CommandContext {
  actor: Actor
  requestId: string
  correlationId: string
  ip: string | null
  userAgent: string | null
}

/** What people may say of a token, of the right types but not judged yet. Absent members stay as they are. */
export interface TokenInput {
  name?: string
  expires_at?: string | null
  scopes?: string[] | null
}

export interface Created {
  token: ExistingToken
  /** The credential itself: shown once. Null when a creation was repeated under its idempotency key. */
  secret: string | null
}

export interface Manage {
  /** @throws Refusal, StoreUnavailableError, UnknownOutcomeError, DamagedError; so do the others */
  create(
    context: CommandContext,
    accountId: string,
    input: TokenInput,
    idempotencyKey: string | null,
  ): Promise<Created>
  update(context: CommandContext, target: Target, input: TokenInput): Promise<ExistingToken>
  /**
   * One whose history is damaged too, if it can be written on at all.
   * @returns null for such a one, of which nobody can tell what it is
   */
  revoke(context: CommandContext, target: Target, reason: string | null): Promise<ExistingToken | null>
}

export interface Target {
  tokenId: string
  /**
   * What the read model shows of it, from which the stream is read on; null: from the first event. It may be behind the
   * stream. An event store that is behind it, or has other events, has lost something or belongs to another read model.
   */
  seen: TokenDocument | null
  ifMatch: (revision: number) => boolean
  /** Is it closed because its history is damaged? */
  damaged?: boolean
}

interface Dependencies {
  store: EventStore
  readModel: Pick<ReadModel, 'get'>
  project: (events: readonly StoredEvent[]) => Promise<void>
  close: (tokenId: string, reason: string) => Promise<void>
  limit: AccountLimit
  clock: Clock
  ids: Ids
  randomBytes: (size: number) => Uint8Array
  prefix: string
  pepper: Pepper
  maxLifetimeDays: number | null
  telemetry: Telemetry
}

interface Command {
  context: CommandContext
  tokenId: string
  /** What is known of the token; null: it is to be made, and there should be none. */
  from: Folded | null
  decide: (state: TokenState) => decide.Fact<LifecycleType> | null
  bodyHash?: string | undefined
  attempts?: number
  /** Does the work for a token in this state when it may be done. Default: always. */
  admit?: <T>(state: TokenState, work: () => Promise<T>) => Promise<T>
}

/** A token that expires so soon may have expired when it is extended, for all that creations count. */
const SOON_MS = 10_000
/** Events that are projected before there are more of them. */
const MANY = 100

/**
 * Conflicts are retried: each means that another command on the same token came through. Not so often that commands
 * could hold each other up without end, but a revocation goes on until it has its turn: the others do not.
 */
const MAX_ATTEMPTS = 20

export function createManage(deps: Dependencies): Manage {
  const { store, clock, ids } = deps

  /**
   * Reads on from what is known, folds, decides, appends at the revision that was read, projects, and only then answers.
   * The event's id is made once: found in the stream, it says that an append with an unknown outcome had landed.
   */
  async function execute({
    context,
    tokenId,
    from,
    decide: decided,
    bodyHash,
    attempts = MAX_ATTEMPTS,
    admit = (_, work) => work(),
  }: Command): Promise<ExistingToken> {
    const id = ids.random()
    const stream = tokenStream(tokenId)
    let isDone = false
    /** Was read, and may not be in the read model yet: other processes write to the stream, too. */
    const unprojected: StoredEvent[] = []
    const loadFrom = (known: Folded) =>
      loadOn(store, tokenId, known, async (events) => {
        isDone ||= events.some(({ stored }) => stored.id === id)
        unprojected.push(...events.map(({ stored }) => stored))
        if (unprojected.length > MANY) await deps.project(unprojected.splice(0))
      })

    let token = from ? await loadFrom(from) : unborn(tokenId)
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { state, revision, chain, at } = token
      const fact = isDone ? null : decided(state)
      if (!fact) {
        if (unprojected.length > 0) await deps.project(unprojected)
        return existing(state)
      }
      const event = envelope(fact, { id, context, chain, after: at, bodyHash })
      const record = async (): Promise<ExistingToken> => {
        const expected = revision < 0 ? 'no_stream' : revision
        const { position } = await appendUntilKnown(deps, stream, expected, [event])
        const recorded: LifecycleEvent = { ...event, stream, revision: revision + 1, position }
        await projectStored([...unprojected, recorded])
        return existing(evolve(state, recorded))
      }
      try {
        return await admit(state, record)
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
        token = await loadFrom(token)
      }
    }
    throw new Refusal('conflict', 'Too many changes to this token at the same time.')
  }

  /** Whether the event takes effect is not in doubt, but when it does is: no certain failure. */
  async function projectStored(events: readonly StoredEvent[]): Promise<void> {
    try {
      await deps.project(events)
    } catch (cause) {
      if (!(cause instanceof StoreUnavailableError)) throw cause
      throw new UnknownOutcomeError('stored, but not in the read model yet', { cause })
    }
  }

  function envelope(
    fact: decide.Fact<LifecycleType>,
    on: {
      id: string
      context: CommandContext
      chain: string
      /** Of the event before it: times in a stream never go back. */
      after: string | null
      bodyHash: string | undefined
    },
  ): NewEvent<LifecycleType> {
    const now = iso(clock())
    const metadata = {
      at: on.after !== null && on.after > now ? on.after : now,
      ...on.context,
      schemaVersion: versions[fact.type].current,
      ...(on.bodyHash === undefined ? {} : { bodyHash: on.bodyHash }),
      chain: '',
    }
    const [event] = link(on.chain, [{ id: on.id, ...fact, metadata } as NewEvent<LifecycleType>])
    return event as NewEvent<LifecycleType>
  }

  /** Judges input against the rules and the clock. */
  function assertValid(change: decide.Change): void {
    const errors: InputError[] = []
    const add = (pointer: string, message: string | null) => message && errors.push({ pointer, message })
    if (change.name !== undefined) add('/name', nameProblem(change.name))
    if (change.expiresAt !== undefined) {
      add('/expires_at', expiryProblem(change.expiresAt, iso(clock()), deps.maxLifetimeDays))
    }
    errors.push(...scopeErrors(change.scopes ?? []))
    if (errors.length > 0) throw invalid(errors)
  }

  return {
    async create(context, accountId, input, idempotencyKey) {
      const { name = '', scopes = [], expiresAt = null } = normalise(input)
      const bodyHash =
        idempotencyKey === null ? undefined : ids.digest(canonical({ name, scopes, expiresAt }))
      const tokenId = idempotencyKey === null ? ids.random() : ids.derived(accountId, idempotencyKey)

      const replay = async (): Promise<Created | null> => {
        const made = await firstEvent(store, tokenId)
        if (!made) return null
        if (made.metadata.bodyHash !== bodyHash) {
          throw new Refusal('idempotency_key_reused', 'This Idempotency-Key was used with another body.')
        }
        const seen = (await deps.readModel.get('tokens', tokenId)) as TokenDocument | null
        const from = knownOf(tokenId, seen)
        const token = await execute({ context, tokenId, from, decide: () => null })
        return { token, secret: null }
      }

      const earlier = idempotencyKey === null ? null : await replay()
      if (earlier) return earlier
      assertValid({ name, scopes, expiresAt })
      const secret = formatToken(deps.prefix, deps.randomBytes(32))
      const data = {
        tokenId,
        accountId,
        name,
        hash: hashToken(deps.pepper, secret),
        hashKeyId: deps.pepper.id,
        hint: hintOf(deps.prefix, secret),
        scopes,
        expiresAt,
      }
      try {
        const creation = { context, tokenId, from: null, bodyHash }
        const token = await deps.limit.within(accountId, tokenId, () =>
          execute({ ...creation, decide: (state) => decide.create(state, data) }),
        )
        return { token, secret }
      } catch (error) {
        // The same key at the same time: whoever was second repeats, whichever check told it so.
        const second = idempotencyKey !== null && error instanceof Refusal ? await replay() : null
        if (second) return second
        throw error
      }
    },

    async update(context, { tokenId, seen, ifMatch, damaged = false }, input) {
      const change = normalise(input)
      assertValid(change)
      if (damaged) throw damagedToken('it cannot be changed. Revoke it, and make another one')
      const by = context.actor.kind
      const from = knownOf(tokenId, seen)
      const revives = (state: TokenState): state is ExistingToken =>
        change.expiresAt !== undefined &&
        state.status === 'active' &&
        state.expiresAt !== null &&
        state.expiresAt <= iso(clock() + SOON_MS)
      return execute({
        context,
        tokenId,
        from,
        decide: (state) => decide.update(state, change, ifMatch, by),
        admit: (state, work) => (revives(state) ? deps.limit.within(state.accountId, tokenId, work) : work()),
      })
    },

    async revoke(context, { tokenId, seen, ifMatch }, reason) {
      const problem = reason === null ? null : reasonProblem(reason)
      if (problem) throw invalid([{ pointer: '?reason', message: problem }])
      const from = knownOf(tokenId, seen)
      try {
        return await execute({
          context,
          tokenId,
          from,
          decide: (state) => decide.revoke(state, reason, ifMatch),
          attempts: Number.POSITIVE_INFINITY,
        })
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error
        const fact = { type: 'TokenRevoked' as const, data: { reason } }
        const id = ids.random()
        const target = { tokenId, seen: from.revision, ifMatch }
        await revokeDamaged(deps, target, error, (chain) =>
          envelope(fact, { id, context, chain, after: null, bodyHash: undefined }),
        )
        return null
      }
    },
  }
}

const knownOf = (tokenId: string, seen: TokenDocument | null): Folded =>
  seen ? projected(seen) : unborn(tokenId)

/** One spelling for equal input, before any clock: what a repeat is compared by. */
function normalise({ name, expires_at, scopes }: TokenInput): decide.Change {
  const change: decide.Change = {}
  if (name !== undefined) change.name = normaliseName(name)
  if (scopes !== undefined) change.scopes = [...new Set(scopes ?? [])]
  if (expires_at !== undefined) {
    change.expiresAt = expires_at === null ? null : parseTime(expires_at)
    if (expires_at !== null && change.expiresAt === null) {
      throw invalid([{ pointer: '/expires_at', message: 'must be an RFC 3339 time' }])
    }
  }
  return change
}

const invalid = (errors: InputError[]) => new Refusal('validation_failed', 'The input is not valid.', errors)

function existing(state: TokenState): ExistingToken {
  if (state.status === 'none') throw new DamagedError('a token without a TokenCreated')
  return state
}
