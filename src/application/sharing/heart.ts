import { setTimeout as sleep } from 'node:timers/promises'
import { genesis, link, storedChain } from '../../domain/chain.ts'
import type { NewEvent } from '../../domain/events.ts'
import { heartbeatStream } from '../../domain/streams.ts'
import type { Ids } from '../eventLog/ids.ts'
import { systemEvent } from '../eventLog/systemEvent.ts'
import type { Clock, Instant } from '../ports/clock.ts'
import { ConflictError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Proof } from './proofs.ts'

/** Strangers can ask for heartbeats, and they stay in the log: ten a second, and as many at once after a pause. */
const ALLOWED = { atOnce: 10, everyMs: 100 }
/** A stream takes one append at a time. */
const STREAMS = 2

export interface HeartDependencies {
  store: Pick<EventStore, 'append'>
  clock: Clock
  ids: Ids
  now: () => Instant
}

interface HeartStream {
  name: string
  tail: { revision: number; chain: string }
  /** Sent, and not known to be written. */
  sent: { event: NewEvent; begun: Instant } | null
  isFree: boolean
}

/** Writes heartbeats to the streams of this process. */
export function createHeart({ store, clock, ids, now }: HeartDependencies) {
  const instance = ids.random()
  const streams = Array.from({ length: STREAMS }, (_, n): HeartStream => {
    const name = `${heartbeatStream(instance)}_${n}`
    return { name, tail: { revision: -1, chain: genesis(name) }, sent: null, isFree: true }
  })
  let beats = 0
  let allowance = { left: ALLOWED.atOnce, at: now().monotonic }

  async function allowed(signal: AbortSignal): Promise<void> {
    const at = now().monotonic
    const regained = (at - allowance.at) / ALLOWED.everyMs
    allowance = { left: Math.min(ALLOWED.atOnce, allowance.left + regained) - 1, at }
    if (allowance.left < 0) await sleep(-allowance.left * ALLOWED.everyMs, undefined, { signal })
  }

  function next(chain: string): { event: NewEvent; begun: Instant } {
    const fact = { type: 'HeartbeatWritten' as const, data: {} }
    const [event] = link(chain, [systemEvent(fact, { clock, ids, instance })])
    return { event: event as NewEvent, begun: now() }
  }

  async function send(to: HeartStream, onBegun: (begun: Instant) => void): Promise<Proof> {
    to.sent ??= next(to.tail.chain)
    const { event, begun } = to.sent
    onBegun(begun)
    try {
      const expected = to.tail.revision < 0 ? 'no_stream' : to.tail.revision
      const { revision, position } = await store.append(to.name, expected, [event])
      to.tail = { revision, chain: storedChain(event) }
      to.sent = null
      beats++
      return { begun, position }
    } catch (error) {
      if (error instanceof ConflictError) {
        // Another log has taken the place of the one that had the events of this stream.
        to.tail = { revision: error.actual, chain: genesis(to.name) }
        to.sent = null
      }
      throw error
    }
  }

  return {
    /** How the names of its streams begin. */
    prefix: heartbeatStream(instance),

    /** May another heartbeat begin? */
    isFree: () => streams.some(({ isFree }) => isFree),

    /**
     * Where the last append is not known to have been written, the same one is sent again, and what it proves is as old
     * as its first try: a server that was cut off may still know the answer of that one. So that comes last.
     * @param onBegun called when it begins: later than this call, where too many were written before
     * @throws as `append`; the reason that `signal` was aborted with
     */
    async beat(signal: AbortSignal, onBegun: (begun: Instant) => void): Promise<Proof> {
      const free = streams.filter(({ isFree }) => isFree)
      const to = free.find(({ sent }) => sent === null) ?? free[0]
      if (!to) throw new Error('every stream has a heartbeat under way')
      to.isFree = false
      try {
        await allowed(signal)
        return await send(to, onBegun)
      } finally {
        to.isFree = true
      }
    },
    beats: () => beats,
  }
}
