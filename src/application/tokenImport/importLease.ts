import { setTimeout as sleep } from 'node:timers/promises'
import { genesis, link, storedChain } from '../../domain/chain.ts'
import type { EventData, NewEvent } from '../../domain/events.ts'
import { IMPORT_STREAM } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { appendUntilKnown } from '../eventLog/append.ts'
import { ids } from '../eventLog/ids.ts'
import { ageOf, type Clock, type Instant, now } from '../ports/clock.ts'
import { ConflictError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { systemEvent } from '../eventLog/systemEvent.ts'
import { linked, type StreamTail } from '../eventLog/linkedEvents.ts'

/** Another process is importing tokens into this event store. */
export class ImportUnderWayError extends Error {
  override name = 'ImportUnderWayError'

  constructor({ read, rows }: Advanced) {
    super(
      `Another import runs on this event store and has read ${read} of ${rows} rows: wait until it has ended.`,
    )
  }
}

/** This import could not renew its lease for so long that another one may have begun. */
export class ImportLostError extends Error {
  override name = 'ImportLostError'

  constructor() {
    super('The event store was out of reach for too long: run the import again, it goes on.')
  }
}

export interface ImportLease {
  /**
   * Wait for this before each write. The first call acquires the lease.
   * @throws ImportUnderWayError, ImportLostError
   */
  hold(): Promise<void>
  /** Sets the number of rows that are in the store. Whoever is refused meanwhile learns it. */
  advance(read: number): void
}

type Advanced = EventData<'ImportAdvanced'>
interface Context {
  store: EventStore
  clock: Clock
  times?: LeaseTimes
}

/** All in milliseconds. */
export interface LeaseTimes {
  /** How often the holder renews the lease, by writing an event. */
  renewMs: number
  /** If the last renewal is older, the holder renews before it writes on, which shows that nobody else had the lease. */
  heldMs: number
  /**
   * An import that wrote nothing for so long has ended, and so have its appends, which are given up after 3.4 s. The
   * clocks of other machines do not matter: what counts is whether new events come while this process waits.
   */
  goneMs: number
  lookMs: number
}

const TIMES: LeaseTimes = { renewMs: 800, heldMs: 2_500, goneMs: 6_000, lookMs: 250 }

/**
 * Makes sure that no import is running. If the last one has not ended in good order, this waits until that is certain.
 * @throws ImportUnderWayError
 */
export async function assertNoImport(store: EventStore, times = TIMES): Promise<void> {
  await freeTail(store, times)
}

/**
 * Lets only one import write at a time, among any number of processes. The holder of the lease writes events to a
 * stream that exists for this; the expected revision lets only one of several writers through. An import that has
 * nothing to write acquires no lease.
 * @param onTaken called once the lease is acquired: from then on nobody else imports
 */
export async function withImportLease<T>(
  context: Context,
  rows: number,
  work: (lease: ImportLease) => Promise<T>,
  onTaken: () => Promise<void>,
): Promise<T> {
  const { times = TIMES } = context
  const state: Advanced = { importId: ids.random(), rows, read: 0, ended: false }
  const over = new AbortController()
  let tail: StreamTail | null = null
  let keeping: Promise<void> = Promise.resolve()
  let heldAt: Instant = now()
  let renewing: Promise<void> | null = null
  let lost = false

  async function renewNow(end: StreamTail): Promise<void> {
    const begun = now()
    try {
      await append(context, end, state)
      heldAt = begun
    } catch (error) {
      // After an outage the renewal is tried again. A conflict means that somebody else has the lease.
      if (error instanceof ConflictError) lost = true
    }
  }

  function renew(end: StreamTail): Promise<void> {
    renewing ??= renewNow(end).finally(() => {
      renewing = null
    })
    return renewing
  }

  async function keep(end: StreamTail): Promise<void> {
    while (await sleep(times.renewMs, true, { signal: over.signal }).catch(() => false)) await renew(end)
  }

  try {
    return await work({
      async hold() {
        if (tail === null) {
          ;({ tail, heldAt } = await take(context, state))
          keeping = keep(tail)
          await onTaken()
        }
        if (ageOf(heldAt) > times.heldMs) await renew(tail)
        if (lost || ageOf(heldAt) > times.heldMs) throw new ImportLostError()
      },
      advance(read) {
        state.read = read
      },
    })
  } finally {
    over.abort()
    await keeping
    state.ended = true
    if (tail !== null && !lost) await renew(tail)
  }
}

/** @returns the end of the stream, which is the first event of this import, and the time at which its append began */
async function take(context: Context, state: Advanced): Promise<{ tail: StreamTail; heldAt: Instant }> {
  for (;;) {
    const tail = await freeTail(context.store, context.times)
    const heldAt = now()
    try {
      await append(context, tail, state)
      return { tail, heldAt }
    } catch (error) {
      // Somebody else was faster. The next look at the stream shows that import.
      if (!(error instanceof ConflictError)) throw error
    }
  }
}

/** The end of the stream, once it is certain that no import is running. @throws ImportUnderWayError */
async function freeTail(store: EventStore, times = TIMES): Promise<StreamTail> {
  const tail: StreamTail = { revision: -1, chain: genesis(IMPORT_STREAM) }
  let last = await readOn(store, tail)
  const since = now()
  while (last && !last.ended && ageOf(since) < times.goneMs) {
    await sleep(times.lookMs)
    const next = await readOn(store, tail)
    if (next && !next.ended) throw new ImportUnderWayError(next)
    last = next ?? last
  }
  return tail
}

/** Reads the new events. @returns what the newest of them says, null if there is none */
async function readOn(store: EventStore, tail: StreamTail): Promise<Advanced | null> {
  let newest: Advanced | null = null
  for await (const event of linked(store, IMPORT_STREAM, tail)) {
    const read = upcast(event)
    if (read.kind === 'event' && read.event.type === 'ImportAdvanced') newest = read.event.data
  }
  return newest
}

async function append({ store, clock }: Context, tail: StreamTail, state: Advanced): Promise<void> {
  const fact = { type: 'ImportAdvanced' as const, data: { ...state } }
  const [event] = link(tail.chain, [systemEvent(fact, { clock, ids, instance: 'import-tokens' })])
  const expected = tail.revision < 0 ? 'no_stream' : tail.revision
  await appendUntilKnown({ store, telemetry: QUIET }, IMPORT_STREAM, expected, [event as NewEvent])
  tail.revision++
  tail.chain = storedChain(event as NewEvent)
}

const QUIET = { appended() {}, log: { warn() {} } }
