import { setTimeout as sleep } from 'node:timers/promises'
import { genesis, link, storedChain } from '../../domain/chain.ts'
import type { EventData, NewEvent } from '../../domain/events.ts'
import { IMPORT_STREAM } from '../../domain/streams.ts'
import { upcast } from '../../domain/upcast.ts'
import { appendUntilKnown, QUIET } from '../eventLog/append.ts'
import { BULK_PATIENCE, type Patience, patienceOfChange } from '../eventLog/patience.ts'
import { ids } from '../eventLog/ids.ts'
import { ageOf, type Clock, type Instant, now } from '../ports/clock.ts'
import { ConflictError, StoreUnavailableError } from '../ports/errors.ts'
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

/** This import could not renew its lease for so long that another one has begun. */
export class ImportLostError extends Error {
  override name = 'ImportLostError'

  constructor() {
    super(
      'Another import has begun while this one could not reach the event store: run it again later, it goes on.',
    )
  }
}

export interface ImportLease {
  /**
   * Wait for this before each write, also before one that is sent again. The first call acquires the lease.
   * @throws ImportUnderWayError, ImportLostError; errors of `append`
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
  patience?: Patience
}

/** All in milliseconds. */
export interface LeaseTimes {
  /** How often the holder renews the lease, by writing an event. */
  renewMs: number
  /** If the last renewal is older, the holder renews before it writes on, which shows that nobody else had the lease. */
  heldMs: number
  /**
   * An import that wrote nothing for so long, while the store could be read, has ended, and so have its appends, which
   * begin at the last moment of `heldMs` and take as long as one call may. The clocks of other machines do not matter:
   * what counts is whether new events come while this process waits.
   */
  goneMs: number
  lookMs: number
}

/** How long one call of an import may take, in milliseconds, whatever the settings say: others rely on it. */
export const IMPORT_CALL_MS = 5_000

/** How often in a row a renewal may take too long. */
const RENEWALS = 5
const TOO_SLOW = 'the event store is too slow for an import: run it again later, it goes on'

const TIMES: LeaseTimes = {
  renewMs: 800,
  heldMs: IMPORT_CALL_MS + 1_500,
  goneMs: 2 * IMPORT_CALL_MS + 3_000,
  lookMs: 250,
}

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
  const { times = TIMES, patience = BULK_PATIENCE } = context
  const state: Advanced = { importId: ids.random(), rows, read: 0, ended: false }
  const over = new AbortController()
  const keepingOn = { ...context, patience: { ...patience, signal: over.signal } }
  let tail: StreamTail | null = null
  let keeping: Promise<void> = Promise.resolve()
  let heldAt: Instant = now()
  let renewing: Promise<void> | null = null
  /** Why it could not be renewed, even with patience. */
  let failure: Error | null = null

  async function renewNow(end: StreamTail): Promise<void> {
    const begun = now()
    try {
      await append(keepingOn, end, state)
      heldAt = begun
    } catch (error) {
      failure ??= error instanceof ConflictError ? new ImportLostError() : (error as Error)
    }
  }

  function renew(end: StreamTail): Promise<void> {
    renewing ??= renewNow(end).finally(() => {
      renewing = null
    })
    return renewing
  }

  async function keep(end: StreamTail): Promise<void> {
    while (await sleep(times.renewMs, true, { signal: over.signal }).catch(() => false)) {
      await renew(end)
      if (failure !== null) return
    }
  }

  async function sayEnded(at: StreamTail): Promise<void> {
    state.ended = true
    // Whoever comes next finds out by waiting, if this cannot be said.
    await append({ ...context, patience: patienceOfChange() }, at, state).catch(() => {})
  }

  try {
    return await work({
      async hold() {
        if (tail === null) {
          ;({ tail, heldAt } = await take(context, state))
          keeping = keep(tail)
          await onTaken()
        }
        // After an outage the first renewal has taken too long to count, though it shows that nobody else had the lease.
        for (let renewals = 0; ; renewals++) {
          if (failure !== null) throw failure
          if (ageOf(heldAt) <= times.heldMs) return
          if (renewals === RENEWALS) throw new StoreUnavailableError(TOO_SLOW)
          await renew(tail)
        }
      },
      advance(read) {
        state.read = read
      },
    })
  } finally {
    over.abort()
    await keeping
    if (tail !== null && failure === null) await sayEnded(tail)
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
  let since = now()
  while (last && !last.ended && ageOf(since) < times.goneMs) {
    await sleep(times.lookMs)
    const asked = now()
    const next = await readOn(store, tail)
    if (next && !next.ended) throw new ImportUnderWayError(next)
    last = next ?? last
    // During an outage the other one could not write either, and may now.
    if (ageOf(asked) > times.heldMs) since = now()
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

async function append({ store, clock, patience }: Context, tail: StreamTail, state: Advanced): Promise<void> {
  const fact = { type: 'ImportAdvanced' as const, data: { ...state } }
  const [event] = link(tail.chain, [systemEvent(fact, { clock, ids, instance: 'import-tokens' })])
  const expected = tail.revision < 0 ? 'no_stream' : tail.revision
  await appendUntilKnown({ store, telemetry: QUIET, patience }, IMPORT_STREAM, expected, [event as NewEvent])
  tail.revision++
  tail.chain = storedChain(event as NewEvent)
}
