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

export interface HeartDependencies {
  store: Pick<EventStore, 'append'>
  clock: Clock
  ids: Ids
  now: () => Instant
}

/** Writes heartbeats to the stream of this process, one at a time. */
export function createHeart({ store, clock, ids, now }: HeartDependencies) {
  const instance = ids.random()
  const stream = heartbeatStream(instance)
  let tail = { revision: -1, chain: genesis(stream) }
  /** Sent, and not known to be written. */
  let sent: { event: NewEvent; begun: Instant } | null = null
  let beats = 0
  let allowance = { left: ALLOWED.atOnce, at: now().monotonic }

  async function allowed(signal: AbortSignal): Promise<void> {
    const at = now().monotonic
    const regained = (at - allowance.at) / ALLOWED.everyMs
    allowance = { left: Math.min(ALLOWED.atOnce, allowance.left + regained) - 1, at }
    if (allowance.left < 0) await sleep(-allowance.left * ALLOWED.everyMs, undefined, { signal })
  }

  function next(): { event: NewEvent; begun: Instant } {
    const fact = { type: 'HeartbeatWritten' as const, data: {} }
    const [event] = link(tail.chain, [systemEvent(fact, { clock, ids, instance })])
    return { event: event as NewEvent, begun: now() }
  }

  return {
    stream,

    /**
     * Where the last append is not known to have been written, the same one is sent again, and what it proves is as old
     * as its first try: a server that was cut off may still know the answer of that one.
     * @throws as `append`; the reason that `signal` was aborted with
     */
    async beat(signal: AbortSignal): Promise<Proof> {
      await allowed(signal)
      sent ??= next()
      const { event, begun } = sent
      try {
        const expected = tail.revision < 0 ? 'no_stream' : tail.revision
        const { revision, position } = await store.append(stream, expected, [event])
        tail = { revision, chain: storedChain(event) }
        sent = null
        beats++
        return { begun, position }
      } catch (error) {
        if (error instanceof ConflictError) {
          // Another log has taken the place of the one that had the events of this stream.
          tail = { revision: error.actual, chain: genesis(stream) }
          sent = null
        }
        throw error
      }
    },
    beats: () => beats,
  }
}
