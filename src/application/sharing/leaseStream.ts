import { genesis, link, storedChain } from '../../domain/chain.ts'
import type { EventData, NewEvent, StoredEvent } from '../../domain/events.ts'
import { LEASE_STREAM } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { appendUntilKnown, QUIET } from '../eventLog/append.ts'
import type { Ids } from '../eventLog/ids.ts'
import { systemEvent } from '../eventLog/systemEvent.ts'
import type { Clock, Instant } from '../ports/clock.ts'
import { ConflictError, StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'

/** A lease that is written late is worth little. */
const PATIENCE = { ms: 2_400, outages: false }

export type LeaseState = EventData<'LeaseAdvanced'>

interface Dependencies {
  store: EventStore
  clock: Clock
  ids: Ids
  now: () => Instant
  /** Of this process. */
  shared: boolean
}

/**
 * The stream of the lease as this process knows it. Whoever writes has read all events before: the expected revision
 * lets only one of several writers through.
 */
export function createLeaseStream({ store, clock, ids, now, shared }: Dependencies) {
  const process = ids.random()
  const start = { revision: -1, chain: genesis(LEASE_STREAM), position: null as string | null }
  let tail = start
  /** What the last process that had the lease said. */
  let last: LeaseState | null = null
  /** What was last said by a process that is there, whether or not it has the lease. */
  let heard: LeaseState | null = null
  let question: LeaseState | null = null
  let saidAt = now()
  let heldAt: Instant | null = null
  let turn: Promise<unknown> = Promise.resolve()

  function fold(said: LeaseState, at: string): void {
    if (said.state === 'asked') {
      question = said
      return
    }
    ;[heard, question] = [said, null]
    if (said.state === 'present') return
    last = said
    const { monotonic, wall } = now()
    saidAt = { monotonic, wall: Math.min(wall, Date.parse(at)) }
  }

  function take(events: readonly StoredEvent[]): void {
    for (const event of events) {
      if (event.revision <= tail.revision) continue
      tail = { revision: event.revision, chain: storedChain(event), position: event.position }
      const read = upcast(event)
      if (read.kind === 'event' && read.event.type === 'LeaseAdvanced')
        fold(read.event.data, read.event.metadata.at)
    }
  }

  return {
    process,
    last: () => last,
    heard: () => heard,
    isMine: () => last?.process === process && last.state === 'held',
    /** What another process has asked and nobody has answered. */
    question: () => (question?.process === process ? null : question),
    /** When the last process that had the lease said something. */
    saidAt: () => saidAt,
    /** When the append began that showed last that this process has the lease. */
    heldAt: () => heldAt,
    position: () => tail.position,
    take,

    /** What comes next may be another log: it is read from its beginning. */
    begin(): void {
      tail = start
    },

    /** Does one thing at a time: each reads first what has come before it. */
    inTurn<T>(work: () => Promise<T>): Promise<T> {
      const mine = turn.then(work)
      turn = mine.catch(() => {})
      return mine
    },

    async read(): Promise<void> {
      take(await store.readStream(LEASE_STREAM, tail.revision + 1))
    },

    /** @returns false if another process was faster. @throws StoreUnavailableError nobody knows */
    async write(state: LeaseState['state']): Promise<boolean> {
      const begun = now()
      const data = { process, shared, state }
      const fact = { type: 'LeaseAdvanced' as const, data }
      const [event] = link(tail.chain, [systemEvent(fact, { clock, ids, instance: process })])
      const expected = tail.revision < 0 ? 'no_stream' : tail.revision
      try {
        const { revision, position } = await appendUntilKnown(
          { store, telemetry: QUIET, patience: PATIENCE },
          LEASE_STREAM,
          expected,
          [event as NewEvent],
        )
        take([{ ...(event as NewEvent), stream: LEASE_STREAM, revision, position }])
        if (state === 'held') heldAt = begun
        return true
      } catch (error) {
        if (error instanceof UnknownOutcomeError) throw new StoreUnavailableError(error.message)
        if (!(error instanceof ConflictError)) throw error
        // Whoever guards the log will say so, and what this process knows is right again when the right one is back.
        if (error.actual < tail.revision)
          throw new StoreUnavailableError('the event store ends before what was in it')
        return false
      }
    },
  }
}

export type LeaseStream = ReturnType<typeof createLeaseStream>
