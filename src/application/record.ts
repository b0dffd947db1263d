import { setTimeout as sleep } from 'node:timers/promises'
import { genesis, link, storedChain } from '../domain/chain.ts'
import { keptText } from '../domain/credential.ts'
import type { Fact } from '../domain/decide.ts'
import { type EventData, type NewEvent, usageStream } from '../domain/events.ts'
import { appendUntilKnown, firstAppend } from './append.ts'
import type { Ids } from './ids.ts'
import { type Clock, ConflictError, type EventStore, type Telemetry } from './ports.ts'
import { systemEvent } from './systemEvent.ts'
import { createUsageWindow, type Use, type UsageWindow } from './usageWindow.ts'

export interface Recorder {
  /** Counts a use in memory; it is stored with the next flush. */
  record(use: Use): void
  /** Counts a use and resolves when it is stored. */
  store(use: Use): Promise<void>
  /** Stores what is counted so far. One flush is under way at a time. */
  flush(): Promise<void>
  start(): void
  /** Flushes a last time; what the store does not take by then is logged as lost. */
  stop(): Promise<void>
  /** How many token windows wait to be stored. */
  pending(): number
}

interface Dependencies {
  store: EventStore
  clock: Clock
  ids: Ids
  flushMs: number
  telemetry: Telemetry
}

/** How long a stop waits for an event store that is away. */
const STOP_MS = 3_000
const STOP_PAUSE_MS = 200

/**
 * Uses, in flush windows, into a stream that only this process start writes, a new one every UTC day. One append is in
 * flight at a time; it is kept as it is, ids and all, until the store has said that it took it.
 */
export function createRecorder({ store, clock, ids, flushMs, telemetry }: Dependencies): Recorder {
  let instance = ids.random()
  let tail = { stream: '', revision: -1, chain: '' }
  let window: UsageWindow = createUsageWindow()
  /** Events made of closed windows, not stored yet. */
  let queue: NewEvent[] = []
  let flushing: Promise<void> | null = null
  let timer: NodeJS.Timeout | undefined

  function closeWindow(): void {
    if (window.size() === 0) return
    const { used, lost } = window.close()
    window = createUsageWindow()
    for (const data of used) queue.push(envelope({ type: 'TokenUsed', data: masked(data) }))
    if (lost) {
      telemetry.usageLost(lost.count)
      queue.push(envelope({ type: 'UsageLost', data: { ...lost, cause: 'usage buffer full' } }))
    }
  }

  const envelope = (fact: Fact<'TokenUsed' | 'UsageLost'>): NewEvent =>
    systemEvent(fact, { clock, ids, instance })

  /** While the store does not answer, the window stays open instead of becoming ever more events. */
  async function drain(): Promise<void> {
    await appendQueue()
    closeWindow()
    await appendQueue()
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
    if (queue.length === 0 && window.size() === 0) return
    flush().catch((err: unknown) =>
      telemetry.log.warn({ err, waiting: queue.length }, 'usage not stored yet'),
    )
  }

  return {
    record: (use) => window.count(use),

    async store(use) {
      window.count(use)
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
        closeWindow()
        const count = queue.reduce(
          (sum, event) => sum + (event.type === 'TokenUsed' ? event.data.count : 0),
          0,
        )
        telemetry.usageLost(count)
        telemetry.log.error({ err, count }, 'uses lost: the event store did not take them before the stop')
      })
    },

    pending: () => window.size() + queue.length,
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
function masked(data: EventData<'TokenUsed'>): EventData<'TokenUsed'> {
  const { addresses, userAgents } = data
  return {
    ...data,
    lastIp: keptOrNull(data.lastIp),
    lastUserAgent: keptOrNull(data.lastUserAgent),
    routes: data.routes.map((entry) => ({ ...entry, route: keptText(entry.route) })),
    ...(addresses && { addresses: addresses.map((entry) => ({ ...entry, ip: keptOrNull(entry.ip) })) }),
    ...(userAgents && {
      userAgents: userAgents.map((entry) => ({ ...entry, userAgent: keptOrNull(entry.userAgent) })),
    }),
  }
}

const keptOrNull = (text: string | null): string | null => (text === null ? null : keptText(text))
