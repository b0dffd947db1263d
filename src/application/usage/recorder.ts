import { setTimeout as sleep } from 'node:timers/promises'
import { genesis, link, storedChain } from '../../domain/chain.ts'
import { keptText } from '../../domain/credential.ts'
import type { NewEvent } from '../../domain/events.ts'
import { usageStream } from '../../domain/streams.ts'
import { appendUntilKnown, firstAppend, PER_APPEND } from '../eventLog/append.ts'
import type { Ids } from '../eventLog/ids.ts'
import type { Clock } from '../ports/clock.ts'
import { ConflictError, StoreUnavailableError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { systemEvent } from '../eventLog/systemEvent.ts'
import { createUsageWindow, type Room, type UsageFact, type Use } from './window.ts'

export interface Recorder {
  /** Counts a use in memory, to be stored with the next flush. Where there is no room for it, it is declared lost. */
  record(use: Use): void
  /**
   * Counts a use and resolves when it is stored.
   * @throws StoreUnavailableError, UnknownOutcomeError: it must not be served. Where there is no room for it, it is not
   * counted either.
   */
  store(use: Use): Promise<void>
  /** Stores what is counted so far. One flush is under way at a time. */
  flush(): Promise<void>
  start(): void
  /** Flushes a last time; what the store does not take by then is logged as lost. */
  stop(): Promise<void>
  /** How much waits to be stored: token windows, their routes and callers. */
  pending(): number
  /** The memory that takes, nearly. */
  bytes(): number
}

interface Dependencies {
  store: EventStore
  clock: Clock
  ids: Ids
  flushMs: number
  telemetry: Telemetry
  /** Every use comes by `store`: one that is not stored was not served, and so is not lost. */
  strict?: boolean
  /** Default: what a process has memory for. */
  room?: Room
}

/** How long a stop waits for an event store that is away. */
const STOP_MS = 3_000
const STOP_PAUSE_MS = 200

/**
 * Uses, in flush windows, into a stream that only this process start writes, a new one every UTC day. One append is in
 * flight at a time; it is kept as it is, ids and all, until the store has said that it took it. Events are made as one
 * append takes them, so that a long outage's uses are neither made at once nor held twice.
 */
export function createRecorder(deps: Dependencies): Recorder {
  const { store, clock, ids, flushMs, telemetry, strict = false, room } = deps
  let instance = ids.random()
  let tail = { stream: '', revision: -1, chain: '' }
  const window = createUsageWindow(room)
  /** Events made of ended windows, not stored yet: some more than one append takes, at the most. */
  let queue: NewEvent[] = []
  let flushing: Promise<void> | null = null
  let timer: NodeJS.Timeout | undefined
  let isStopped = false

  function makeEvents(): void {
    const before = window.bytes()
    while (queue.length < PER_APPEND.events && before - window.bytes() < PER_APPEND.bytes) {
      const fact = window.take()
      if (!fact) return
      queue.push(systemEvent(masked(fact), { clock, ids, instance }))
    }
  }

  /** While the store does not answer, the window stays open instead of becoming ever more events. */
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
      // A clock may be set back at midnight: only what stands together leaves the queue.
      const next = chunk.findIndex((event) => usageStream(instance, event.metadata.at) !== stream)
      const sameDay = next < 0 ? chunk : chunk.slice(0, next)
      if (tail.stream !== stream) tail = { stream, revision: -1, chain: genesis(stream) }
      const events = link(tail.chain, sameDay)
      try {
        const expected = tail.revision < 0 ? 'no_stream' : tail.revision
        const { revision } = await appendUntilKnown({ store, telemetry }, stream, expected, events)
        tail = { stream, revision, chain: storedChain(events.at(-1) as NewEvent) }
        queue = queue.slice(events.length)
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
        // Somebody else wrote into this stream: leave it to them and go on in a new one.
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

  /** Tries again as long as the time lasts: an outage may end before the process does. */
  async function flushWithin(ms: number): Promise<void> {
    const giveUpAt = performance.now() + ms
    for (;;) {
      try {
        return await flush()
      } catch (error) {
        if (performance.now() + STOP_PAUSE_MS > giveUpAt) throw error
        await sleep(STOP_PAUSE_MS)
      }
    }
  }

  function tick(): void {
    if (pending() === 0) return
    flush().catch((err: unknown) =>
      telemetry.log.warn({ err, waiting: queue.length }, 'usage not stored yet'),
    )
  }

  const pending = (): number => window.size() + queue.length

  function lose(use: Use): void {
    telemetry.usageLost(1)
    if (isStopped) telemetry.log.error({ count: 1 }, 'use lost: it ended after the stop')
    else window.lose(use)
  }

  return {
    record(use) {
      if (isStopped || !window.count(use)) lose(use)
    },

    async store(use) {
      if (!window.count(use)) throw new StoreUnavailableError('nothing counted: the usage buffer is full')
      // A flush under way may have closed its window before this use: the next one has it.
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
      await flushing?.catch(() => {})
      await flushWithin(STOP_MS).catch((err: unknown) => {
        if (strict) return
        const made = queue.map((event) => (event.type === 'TokenUsed' ? event.data.count : 0))
        const count = made.reduce((sum, n) => sum + n, window.uses())
        telemetry.usageLost(count)
        telemetry.log.error({ err, count }, 'uses lost: the event store did not take them before the stop')
      })
      isStopped = true
    },

    pending,
    bytes: window.bytes,
  }
}

/** The writer that an event names is the one whose stream it stands in: an audit holds it to that. */
const ownedBy =
  (instance: string) =>
  <E extends NewEvent>(event: E): E => ({
    ...event,
    metadata: { ...event.metadata, actor: { kind: 'system', id: instance } },
  })

/** Routes, addresses and agents are the callers' words: no credential in them is kept. */
function masked(fact: UsageFact): UsageFact {
  if (fact.type === 'UsageLost') return fact
  const { addresses, userAgents, ...data } = fact.data
  return {
    type: fact.type,
    data: {
      ...data,
      lastIp: keptOrNull(data.lastIp),
      lastUserAgent: keptOrNull(data.lastUserAgent),
      routes: data.routes.map((entry) => ({ ...entry, route: keptText(entry.route) })),
      ...(addresses && { addresses: addresses.map((entry) => ({ ...entry, ip: keptOrNull(entry.ip) })) }),
      ...(userAgents && {
        userAgents: userAgents.map((entry) => ({ ...entry, userAgent: keptOrNull(entry.userAgent) })),
      }),
    },
  }
}

const keptOrNull = (text: string | null): string | null => (text === null ? null : keptText(text))
