import { canonical, link } from '../domain/chain.ts'
import { formatToken, hashToken, hintOf, type Pepper } from '../domain/credential.ts'
import * as decide from '../domain/decide.ts'
import { DamagedError, type InputError, Refusal } from '../domain/errors.ts'
import {
  type Actor,
  type LifecycleEvent,
  type LifecycleType,
  type NewEvent,
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
import { loadToken } from './load.ts'
import { type Clock, ConflictError, type EventStore, iso, type Telemetry } from './ports.ts'
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
  /** @throws Refusal, StoreUnavailableError, UnknownOutcomeError; so do the others */
  create(
    context: CommandContext,
    accountId: string,
    input: TokenInput,
    idempotencyKey: string | null,
  ): Promise<Created>
  /** @param seen the revision the read model shows: an event store that is behind it has lost something */
  update(context: CommandContext, target: Target, input: TokenInput): Promise<ExistingToken>
  /** One whose history is damaged too, if it can be written on at all. */
  revoke(context: CommandContext, target: Target, reason: string | null): Promise<void>
}

export interface Target {
  tokenId: string
  /** The revision the read model shows: an event store that is behind it has lost something. */
  seen: number
  ifMatch: (revision: number) => boolean
  /** Is it closed because its history is damaged? */
  damaged?: boolean
}

interface Dependencies {
  store: EventStore
  project: (events: readonly LifecycleEvent[]) => Promise<void>
  limit: AccountLimit
  clock: Clock
  ids: Ids
  randomBytes: (size: number) => Uint8Array
  prefix: string
  pepper: Pepper
  maxLifetimeDays: number | null
  telemetry: Telemetry
}

/** Conflicts are retried: each means that another command on the same token came through. */
const MAX_ATTEMPTS = 20

export function createManage(deps: Dependencies): Manage {
  const { store, clock, ids } = deps

  /**
   * Reads, folds, decides, appends at the revision that was read, projects, and only then answers. The event's id is
   * made once: found in the stream, it says that an append with an unknown outcome had landed.
   */
  async function execute(
    context: CommandContext,
    tokenId: string,
    seen: number,
    command: (state: TokenState) => decide.Fact<LifecycleType> | null,
    bodyHash?: string,
  ): Promise<ExistingToken> {
    const id = ids.random()
    const stream = tokenStream(tokenId)
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const { state, events, revision, chain } = await loadToken(store, tokenId)
      if (revision < seen) throw new DamagedError(`${stream} has lost events: ${revision} of ${seen}`)
      const fact = events.some((event) => event.id === id) ? null : command(state)
      if (!fact) {
        await deps.project(events)
        return existing(state)
      }
      const event = envelope(fact, { id, context, chain, last: events.at(-1), bodyHash })
      try {
        const expected = revision < 0 ? 'no_stream' : revision
        const appended = await appendUntilKnown(deps, stream, expected, [event])
        const recorded: LifecycleEvent = {
          ...event,
          stream,
          revision: revision + 1,
          position: appended.position,
        }
        // The whole stream, not the new event alone: the read model may not have seen another process's events yet.
        await deps.project([...events, recorded])
        return existing(evolve(state, recorded))
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
      }
    }
    throw new Refusal('conflict', 'Too many changes to this token at the same time.')
  }

  function envelope(
    fact: decide.Fact<LifecycleType>,
    on: { id: string; context: CommandContext; chain: string; last?: LifecycleEvent; bodyHash?: string },
  ): NewEvent<LifecycleType> {
    const now = iso(clock())
    const previous = on.last?.metadata.at ?? now
    const metadata = {
      at: now > previous ? now : previous,
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
        const { state, events } = await loadToken(store, tokenId)
        if (state.status === 'none') return null
        if (state.bodyHash !== bodyHash) {
          throw new Refusal('idempotency_key_reused', 'This Idempotency-Key was used with another body.')
        }
        await deps.project(events)
        return { token: state, secret: null }
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
        const token = await deps.limit.within(accountId, () =>
          execute(context, tokenId, -1, (state) => decide.create(state, data), bodyHash),
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
      return execute(context, tokenId, seen, (state) => decide.update(state, change, ifMatch))
    },

    async revoke(context, { tokenId, seen, ifMatch }, reason) {
      const problem = reason === null ? null : reasonProblem(reason)
      if (problem) throw invalid([{ pointer: '?reason', message: problem }])
      try {
        await execute(context, tokenId, seen, (state) => decide.revoke(state, reason, ifMatch))
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error
        const fact = { type: 'TokenRevoked' as const, data: { reason } }
        const id = ids.random()
        await revokeDamaged(deps, { tokenId, seen, ifMatch }, error, (chain) =>
          envelope(fact, { id, context, chain }),
        )
      }
    },
  }
}

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
