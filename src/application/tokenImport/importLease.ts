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
import { linked, type Tail } from '../eventLog/linkedEvents.ts'

/** Another process imports tokens into this event store. */
export class ImportUnderWayError extends Error {
  override name = 'ImportUnderWayError'

  constructor({ read, rows }: Advanced) {
    super(
      `Another import runs on this event store and has read ${read} of ${rows} rows: wait until it has ended.`,
    )
  }
}

/** This one has not been heard of for so long that another one may have begun. */
export class ImportLostError extends Error {
  override name = 'ImportLostError'

  constructor() {
    super('The event store was out of reach for too long: run the import again, it goes on.')
  }
}

export interface ImportLease {
  /** To be waited for before each write: the first time takes the lease. @throws ImportUnderWayError, ImportLostError */
  hold(): Promise<void>
  /** How many rows are in the store: others are told. */
  advance(read: number): void
}

type Advanced = EventData<'ImportAdvanced'>
interface Context {
  store: EventStore
  clock: Clock
  times?: LeaseTimes
}

export interface LeaseTimes {
  /** How often the holder writes that it is there. */
  renewMs: number
  /** After this much time without it the holder writes nothing before it has done so: then nobody else had the lease. */
  heldMs: number
  /**
   * One that was not heard of for so long is gone, and so is what it had begun to append, which is given up after 3.4 s.
   * No clock of another machine is looked at, only what comes.
   */
  goneMs: number
  lookMs: number
}

const TIMES: LeaseTimes = { renewMs: 800, heldMs: 2_500, goneMs: 6_000, lookMs: 250 }

/**
 * Waits, where an import has not ended in good order, until it is certain whether it still runs.
 * @throws ImportUnderWayError
 */
export async function assertNoImport(store: EventStore, times = TIMES): Promise<void> {
  await freeTail(store, times)
}

/**
 * Runs one import at a time, over any number of processes: whoever holds the lease says so in a stream of its own, whose
 * revisions let one of several writers through. One that has nothing to write takes none.
 * @param onTaken called once with the lease taken: from then on nobody else imports
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
  let tail: Tail | null = null
  let keeping: Promise<void> = Promise.resolve()
  let heldAt: Instant = now()
  let renewing: Promise<void> | null = null
  let lost = false

  async function renewNow(end: Tail): Promise<void> {
    const begun = now()
    try {
      await append(context, end, state)
      heldAt = begun
    } catch (error) {
      // Out of reach, it is tried again; with a conflict somebody else has it.
      if (error instanceof ConflictError) lost = true
    }
  }

  function renew(end: Tail): Promise<void> {
    renewing ??= renewNow(end).finally(() => {
      renewing = null
    })
    return renewing
  }

  async function keep(end: Tail): Promise<void> {
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

/** @returns the stream's end, which is the first event of this import, and when it was begun to be written */
async function take(context: Context, state: Advanced): Promise<{ tail: Tail; heldAt: Instant }> {
  for (;;) {
    const tail = await freeTail(context.store, context.times)
    const heldAt = now()
    try {
      await append(context, tail, state)
      return { tail, heldAt }
    } catch (error) {
      // Somebody else was faster, and is seen when it is looked at again.
      if (!(error instanceof ConflictError)) throw error
    }
  }
}

/** @throws ImportUnderWayError */
async function freeTail(store: EventStore, times = TIMES): Promise<Tail> {
  const tail: Tail = { revision: -1, chain: genesis(IMPORT_STREAM) }
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

/** What the newest event says that was not read yet. */
async function readOn(store: EventStore, tail: Tail): Promise<Advanced | null> {
  let newest: Advanced | null = null
  for await (const event of linked(store, IMPORT_STREAM, tail)) {
    const read = upcast(event)
    if (read.kind === 'event' && read.event.type === 'ImportAdvanced') newest = read.event.data
  }
  return newest
}

async function append({ store, clock }: Context, tail: Tail, state: Advanced): Promise<void> {
  const fact = { type: 'ImportAdvanced' as const, data: { ...state } }
  const [event] = link(tail.chain, [systemEvent(fact, { clock, ids, instance: 'import-tokens' })])
  const expected = tail.revision < 0 ? 'no_stream' : tail.revision
  await appendUntilKnown({ store, telemetry: QUIET }, IMPORT_STREAM, expected, [event as NewEvent])
  tail.revision++
  tail.chain = storedChain(event as NewEvent)
}

const QUIET = { appended() {}, log: { warn() {} } }
