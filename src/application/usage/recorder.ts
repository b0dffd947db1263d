import { setTimeout as sleep } from 'node:timers/promises'
import { genesis, link, storedChain } from '../../domain/chain.ts'
import { keptText } from '../../domain/credential.ts'
import type { NewEvent } from '../../domain/events.ts'
import { usageStream } from '../../domain/streams.ts'
import { type UsageEntry, usesIn } from '../../domain/usageEntries.ts'
import { appendUntilKnown, firstAppend, PER_APPEND } from '../eventLog/append.ts'
import type { Ids } from '../eventLog/ids.ts'
import { type Patience, patienceOfChange } from '../eventLog/patience.ts'
import type { Clock } from '../ports/clock.ts'
import { ConflictError, StoreUnavailableError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { systemEvent } from '../eventLog/systemEvent.ts'
import { createRetiredUses, type RetiredUse } from './retiredUses.ts'
import { createUsageWindow, type Room, type UsageFact, type Use } from './window.ts'

export interface Recorder {
  /** Counts a use in memory, to be stored with the next flush. If there is no room for it, it is declared lost. */
  record(use: Use): void
  /**
   * Counts a use and resolves when it is stored.
   * @throws StoreUnavailableError, UnknownOutcomeError: the request must not be served. If there was no room for the
   *   use, it is not counted either.
   */
  store(use: Use): Promise<void>
  /** Counts a refused request with a retired secret, to be stored with the next flush. */
  refused(use: RetiredUse): void
  /** Stores everything that is counted so far. Only one flush runs at a time. */
  flush(): Promise<void>
  start(): void
  /** Flushes for the last time. Uses that the store has not accepted by then are logged as lost. */
  stop(): Promise<void>
  /** The number of entries that wait to be stored: token windows, their routes and callers. */
  pending(): number
  /** The memory that they take, nearly, in bytes. */
  bytes(): number
}

interface Dependencies {
  store: EventStore
  clock: Clock
  ids: Ids
  flushMs: number
  telemetry: Telemetry
  /** If set, every use comes by `store`: a use that is not stored was not served, and so is not lost. */
  strict?: boolean
  /** Default: as much as a process has memory for. */
  room?: Room
  /** Of one flush. The next one sends the same append again. */
  patience?: Patience | undefined
  stopTimes?: StopTimes
}

/**
 * How long a stop waits for an event store that cannot be reached, and the pause between two tries, in milliseconds. A
 * call that is under way when the time is up is still waited for.
 */
interface StopTimes {
  ms: number
  pauseMs: number
}

const STOP: StopTimes = { ms: 3_000, pauseMs: 200 }

/**
 * Writes uses, in flush windows, to a stream that only this start of the process writes, and to a new stream on every
 * UTC day. Only one append is under way at a time. It is repeated without any change, ids included, until the store has
 * confirmed it. Events are made only as an append needs them, so that the uses of a long outage are neither all made at
 * once nor kept twice.
 */
export function createRecorder(deps: Dependencies): Recorder {
  const { store, clock, ids, flushMs, telemetry, strict = false, room, stopTimes = STOP } = deps
  let instance = ids.random()
  let tail = { stream: '', revision: -1, chain: '' }
  const window = createUsageWindow(room)
  const retired = createRetiredUses()
  /** Events of ended windows that are not stored yet. There are only a few more than one append takes. */
  let queue: NewEvent[] = []
  let flushing: Promise<void> | null = null
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const givingUp = new AbortController()
  const appending = {
    store,
    telemetry,
    patience: { ...(deps.patience ?? patienceOfChange()), signal: givingUp.signal },
  }

  function makeEvents(): void {
    const before = window.bytes()
    while (queue.length < PER_APPEND.events && before - window.bytes() < PER_APPEND.bytes) {
      const fact = window.take()
      const made = fact ? masked(fact) : retired.take()
      if (!made) return
      queue.push(systemEvent(made, { clock, ids, instance }))
    }
  }

  /** While the store does not answer, the window stays open, so that there are not more and more events. */
  async function drain(): Promise<void> {
    await appendAll()
    window.close()
    await appendAll()
  }

  async function appendAll(): Promise<void> {
    for (;;) {
      if (queue.length === 0) makeEvents()
      if (queue.length === 0) return
      await appendQueue()
    }
  }

  async function appendQueue(): Promise<void> {
    while (queue.length > 0) {
      const chunk = firstAppend(queue)
      const stream = usageStream(instance, chunk[0]?.metadata.at ?? '')
      // A clock may be set back at midnight. So only events of the same day are appended together.
      const next = chunk.findIndex((event) => usageStream(instance, event.metadata.at) !== stream)
      const sameDay = next < 0 ? chunk : chunk.slice(0, next)
      if (tail.stream !== stream) tail = { stream, revision: -1, chain: genesis(stream) }
      const events = link(tail.chain, sameDay)
      try {
        const expected = tail.revision < 0 ? 'no_stream' : tail.revision
        const { revision } = await appendUntilKnown(appending, stream, expected, events)
        tail = { stream, revision, chain: storedChain(events.at(-1) as NewEvent) }
        queue = queue.slice(events.length)
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
        // Another writer has written to this stream. Leave it to them, and continue in a new one.
        telemetry.log.error({ stream, err: error }, 'usage stream has another writer')
        instance = ids.random()
        queue = queue.map(ownedBy(instance))
      }
    }
  }

  function flush(): Promise<void> {
    flushing ??= drain().finally(() => {
      flushing = null
    })
    return flushing
  }

  /** Tries again until the time is up, since an outage may end before the process does. */
  async function flushUntil({ signal: over }: AbortController): Promise<void> {
    for (;;) {
      try {
        return await flush()
      } catch (error) {
        await sleep(stopTimes.pauseMs)
        if (over.aborted) throw error
      }
    }
  }

  function tick(): void {
    if (pending() === 0) return
    flush().catch((err: unknown) =>
      telemetry.log.warn({ err, waiting: queue.length }, 'usage not stored yet'),
    )
  }

  const pending = (): number => window.size() + retired.size() + queue.length

  function lose(use: Use): void {
    telemetry.usageLost(1)
    if (isStopped) telemetry.log.error({ count: 1 }, 'use lost: it ended after the stop')
    else window.lose(use)
  }

  return {
    record(use) {
      if (isStopped || !window.count(use)) lose(use)
    },

    refused(use) {
      if (!isStopped) retired.count(use)
    },

    async store(use) {
      if (!window.count(use)) throw new StoreUnavailableError('nothing counted: the usage buffer is full')
      // A flush that is under way may have ended its window before this use came. Then the next flush has it.
      await flushing?.catch(() => {})
      await flush()
    },

    flush,

    start() {
      timer = setInterval(tick, flushMs)
      timer.unref()
    },

    async stop() {
      clearInterval(timer)
      const limit = setTimeout(() => givingUp.abort(), stopTimes.ms)
      await flushing?.catch(() => {})
      await flushUntil(givingUp).catch((err: unknown) => {
        if (strict) return
        const count = queue.reduce((sum, event) => sum + usesIn(event), window.uses())
        telemetry.usageLost(count)
        telemetry.log.error({ err, count }, 'uses lost: the event store did not take them before the stop')
      })
      clearTimeout(limit)
      isStopped = true
    },

    pending,
    bytes: window.bytes,
  }
}

/** An event names its writer, and an audit checks that it is the writer of its stream. */
const ownedBy =
  (instance: string) =>
  <E extends NewEvent>(event: E): E => ({
    ...event,
    metadata: { ...event.metadata, actor: { kind: 'system', id: instance } },
  })

/** Routes, addresses and user agents are text of callers, so credentials in them are masked. */
const masked = (fact: UsageFact): UsageFact =>
  fact.type === 'UsageLost'
    ? fact
    : { type: fact.type, data: { entries: fact.data.entries.map(maskedEntry) } }

function maskedEntry({ addresses, userAgents, ...entry }: UsageEntry): UsageEntry {
  return {
    ...entry,
    lastIp: keptOrNull(entry.lastIp),
    lastUserAgent: keptOrNull(entry.lastUserAgent),
    routes: entry.routes.map((one) => ({ ...one, route: keptText(one.route) })),
    ...(addresses && { addresses: addresses.map((one) => ({ ...one, ip: keptOrNull(one.ip) })) }),
    ...(userAgents && {
      userAgents: userAgents.map((one) => ({ ...one, userAgent: keptOrNull(one.userAgent) })),
    }),
  }
}

const keptOrNull = (text: string | null): string | null => (text === null ? null : keptText(text))
