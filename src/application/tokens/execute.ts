import { link } from '../../domain/chain.ts'
import { DamagedError, Refusal } from '../../domain/errors.ts'
import type { Actor, Fact, LifecycleEvent, NewEvent, StoredEvent } from '../../domain/events.ts'
import { tokenStream } from '../../domain/streams.ts'
import { type ExistingToken, evolve, type TokenState } from '../../domain/token.ts'
import { isInformationalType, type LifecycleType } from '../../domain/tokenEvents.ts'
import { versions } from '../../domain/upcast.ts'
import { appendUntilKnown } from '../eventLog/append.ts'
import type { Ids } from '../eventLog/ids.ts'
import type { Patience } from '../eventLog/patience.ts'
import { type Folded, loadOn, unborn } from '../eventLog/tokenStream.ts'
import { type Clock, iso } from '../ports/clock.ts'
import { ConflictError, StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Telemetry } from '../ports/telemetry.ts'

/** Who asks, for the metadata of the events that come of it. */
export interface CommandContext {
  actor: Actor
  requestId: string
  correlationId: string
  ip: string | null
  userAgent: string | null
}

export interface ExecuteDependencies {
  store: EventStore
  project: (events: readonly StoredEvent[]) => Promise<void>
  clock: Clock
  ids: Ids
  telemetry: Telemetry
  patience?: Patience | undefined
}

interface Command {
  context: CommandContext
  tokenId: string
  /** What is known of the token. Null: it is to be made, and should not exist. */
  from: Folded | null
  decide: (state: TokenState) => Fact<LifecycleType> | null
  bodyHash?: string | undefined
  /** The id of the event. If the stream that was read has it, the command was done before. Default: a new one. */
  id?: string
  attempts?: number
  /** Runs the work for a token in this state, once that is allowed. Default: always at once. */
  admit?: <T>(state: TokenState, work: () => Promise<T>) => Promise<T>
}

/** When more events than this are waiting to be projected, they are projected before more are read. */
const MANY = 100

/**
 * How often a conflict is retried. Each conflict means that another command on the same token was faster. The limit
 * keeps commands from holding each other up without end. A revocation retries until it succeeds, which it does, since
 * the other commands give up.
 */
const MAX_ATTEMPTS = 20

interface Following {
  id: string
  context: CommandContext
  chain: string
  /** The time of the event before it, since times in a stream never go back. */
  after: string | null
  bodyHash: string | undefined
}

export type Execute = (command: Command) => Promise<ExistingToken>
/** Makes an event of a fact, linked to `chain`. */
export type Envelope = (fact: Fact<LifecycleType>, on: Following) => NewEvent<LifecycleType>

export function createExecutor(deps: ExecuteDependencies): { execute: Execute; envelope: Envelope } {
  const { store, clock, ids } = deps

  /**
   * Reads the events that are not known yet, folds them, decides, appends at the revision that was read, projects, and
   * only then answers. The event's id is made once: if it is found in the stream, then an append with an unknown
   * outcome has succeeded.
   */
  async function execute({
    context,
    tokenId,
    from,
    decide: decided,
    bodyHash,
    id = ids.random(),
    attempts = MAX_ATTEMPTS,
    admit = (_, work) => work(),
  }: Command): Promise<ExistingToken> {
    const stream = tokenStream(tokenId)
    let isDone = false
    /** Events that were read, but may not be in the read model yet, since other processes write to the stream, too. */
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

  /** The event is stored, but nobody knows when it takes effect. So this is not reported as a certain failure. */
  async function projectStored(events: readonly StoredEvent[]): Promise<void> {
    try {
      await deps.project(events)
    } catch (cause) {
      if (!(cause instanceof StoreUnavailableError)) throw cause
      throw new UnknownOutcomeError('stored, but not in the read model yet', { cause })
    }
  }

  function envelope(fact: Fact<LifecycleType>, on: Following): NewEvent<LifecycleType> {
    const now = iso(clock())
    const metadata = {
      at: on.after !== null && on.after > now ? on.after : now,
      ...on.context,
      schemaVersion: versions[fact.type].current,
      ...(on.bodyHash === undefined ? {} : { bodyHash: on.bodyHash }),
      ...(isInformationalType(fact.type) ? { informational: true as const } : {}),
      chain: '',
    }
    const [event] = link(on.chain, [{ id: on.id, ...fact, metadata } as NewEvent<LifecycleType>])
    return event as NewEvent<LifecycleType>
  }

  return { execute, envelope }
}

function existing(state: TokenState): ExistingToken {
  if (state.status === 'none') throw new DamagedError('a token without a TokenCreated')
  return state
}
