import { setTimeout as sleep } from 'node:timers/promises'
import { LEASE_STREAM } from '../../domain/streams.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { LeaseStream } from './leaseStream.ts'

export interface LeaseFollower {
  /** May others have done anything that is not heard of yet? */
  isUnsure(): boolean
  /** Resolves when `signal` was aborted. @throws what is no outage */
  done: Promise<void>
}

interface Dependencies {
  store: Pick<EventStore, 'subscribe'>
  stream: LeaseStream
  /** The pause before a store is asked again that could not be read, in milliseconds. */
  lookMs: number
  signal: AbortSignal
  /** Called when the stream has been read on. */
  onRead: () => void
}

/**
 * Hears what others say of the lease. After an interruption the stream is read from its beginning, since it may be that
 * of another log; or that of the right one, which is back.
 */
export function followLease({ store, stream, lookMs, signal, onRead }: Dependencies): LeaseFollower {
  let isUnsure = true

  /** @returns whether it was interrupted: otherwise it is over */
  async function hear(): Promise<boolean> {
    for await (const step of store.subscribe(stream.position(), [LEASE_STREAM], signal)) {
      if (step.interrupted) return true
      stream.take(step.events)
      onRead()
      if (step.caughtUp) isUnsure = false
      else if (step.events.length === 0) isUnsure = true
    }
    return false
  }

  async function readAnew(): Promise<void> {
    stream.begin()
    while (!signal.aborted) {
      try {
        await stream.inTurn(stream.read)
        return onRead()
      } catch {
        await sleep(lookMs, undefined, { signal }).catch(() => {})
      }
    }
  }

  async function follow(): Promise<void> {
    while (await hear()) {
      isUnsure = true
      await readAnew()
    }
  }

  return { isUnsure: () => isUnsure, done: follow() }
}
