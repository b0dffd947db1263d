import { on } from 'node:events'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { StoreUnavailableError } from '../application/ports/errors.ts'
import type { Inspected, LogReader } from '../application/eventLog/logReader.ts'
import { DamagedError } from '../domain/errors.ts'
import type { EventStoreSettings } from './open.ts'

/** A piece of the log as JSON, or why there is none. */
export type Answer = string | { error: 'unavailable' | 'damaged' | 'other'; message: string }

export interface Question {
  from: string | null
  port: MessagePort
}

/** In MiB. Events that were read are freed soon, but a page of large roll-ups may take some hundred MiB as objects. */
const MEMORY = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 1024 }

/**
 * Reads and inspects the log on a thread of its own, since that is about as much work as the fold. Pieces are sent as
 * JSON, which is faster than copying them as objects.
 * @param work can use the reader until it ends
 */
export async function withReadAhead<T>(
  { eventStoreUrl, eventStoreTimeoutMs, usageRetentionDays }: EventStoreSettings,
  work: (read: LogReader) => Promise<T>,
): Promise<T> {
  const worker = new Worker(new URL('./readAheadThread.js', import.meta.url), {
    workerData: { eventStoreUrl, eventStoreTimeoutMs, usageRetentionDays } satisfies EventStoreSettings,
    resourceLimits: MEMORY,
  })
  const gone = new AbortController()
  worker.once('error', (error) => gone.abort(error))
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      gone.abort(new StoreUnavailableError('the log is no longer read'))
      resolve()
    })
  })

  async function* read(from: string | null, signal: AbortSignal): AsyncGenerator<Inspected> {
    const { port1: port, port2 } = new MessageChannel()
    worker.postMessage({ from, port: port2 } satisfies Question, [port2])
    try {
      for await (const [message] of on(port, 'message', { signal: AbortSignal.any([signal, gone.signal]) })) {
        yield pieceOf(message as Answer)
        port.postMessage('taken')
      }
    } catch (error) {
      gone.signal.throwIfAborted()
      throw error
    } finally {
      port.close()
    }
  }

  try {
    return await work(read)
  } finally {
    worker.postMessage(null, [])
    await ended
  }
}

const ERRORS = { unavailable: StoreUnavailableError, damaged: DamagedError, other: Error }

function pieceOf(message: Answer): Inspected {
  if (typeof message !== 'string') throw new ERRORS[message.error](message.message)
  return JSON.parse(message) as Inspected
}
