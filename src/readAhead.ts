import { on } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  isMainThread,
  MessageChannel,
  type MessagePort,
  parentPort,
  Worker,
  workerData,
} from 'node:worker_threads'
import { StoreUnavailableError } from './application/ports.ts'
import { createLogReader, type Inspected, type LogReader } from './application/readLog.ts'
import { DamagedError } from './domain/errors.ts'
import { type EventStoreSettings, openEventStore } from './stores.ts'

/**
 * Reads and inspects the log on a thread of its own, which is about as much work as to fold it. Pieces come as JSON:
 * to copy them as objects takes longer.
 */
export interface ReadAhead {
  read: LogReader
  close(): Promise<void>
}

type Answer = string | { error: 'unavailable' | 'damaged' | 'other'; message: string }

interface Question {
  from: string | null
  port: MessagePort
}

/** Pieces that are read before the first of them is taken. */
const AHEAD = 8
/** In MiB. What is read is gone again at once; a page of large roll-ups may be some hundred MiB as objects. */
const MEMORY = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 1024 }

export function startReadAhead(settings: EventStoreSettings): ReadAhead {
  const { eventStoreUrl, usageRetentionDays } = settings
  const worker = new Worker(fileURLToPath(import.meta.url), {
    workerData: { eventStoreUrl, usageRetentionDays } satisfies EventStoreSettings,
    resourceLimits: MEMORY,
  })
  let isOver = false
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      isOver = true
      resolve()
    })
  })
  let failure: Error | undefined
  worker.once('error', (error: Error) => (failure = error))
  const over = (): Error => failure ?? new StoreUnavailableError('the log is no longer read')

  return {
    async *read(from, signal) {
      // A thread that is gone answers nothing, and closes no port either.
      if (isOver) throw over()
      const { port1: port, port2 } = new MessageChannel()
      worker.postMessage({ from, port: port2 } satisfies Question, [port2])
      const end = (): void => port.close()
      worker.once('exit', end)
      try {
        for await (const [message] of on(port, 'message', { signal, close: ['close'] })) {
          yield pieceOf(message as Answer)
          port.postMessage('taken')
        }
        // Why it ended may come after the end of its port: a live thread has been told to close its store.
        if (!isOver) await Promise.race([ended, sleep(1_000)])
        throw over()
      } finally {
        worker.off('exit', end)
        port.close()
      }
    },

    async close() {
      worker.postMessage(null, [])
      await ended
    },
  }
}

const ERRORS = { unavailable: StoreUnavailableError, damaged: DamagedError, other: Error }

function pieceOf(message: Answer): Inspected {
  if (typeof message !== 'string') throw new ERRORS[message.error](message.message)
  return JSON.parse(message) as Inspected
}

// --- The thread ----------------------------------------------------------------------------------------------

async function serve(settings: EventStoreSettings): Promise<void> {
  const store = await openEventStore(settings, { readOnly: true })
  const read = createLogReader(store)
  parentPort?.on('message', (question: Question | null) => {
    void (question ? answer(read, question) : store.close().then(() => parentPort?.close()))
  })
}

async function answer(read: LogReader, { from, port }: Question): Promise<void> {
  const stopping = new AbortController()
  let ahead = 0
  let taken = (): void => {}
  port.on('message', () => {
    ahead--
    taken()
  })
  port.once('close', () => {
    stopping.abort()
    taken()
  })
  try {
    for await (const piece of read(from, stopping.signal)) {
      port.postMessage(JSON.stringify(piece) satisfies Answer)
      if (++ahead >= AHEAD && !stopping.signal.aborted)
        await new Promise<void>((resolve) => (taken = resolve))
    }
  } catch (error) {
    port.postMessage(toAnswer(error))
  }
  port.close()
}

function toAnswer(error: unknown): Answer {
  const { message } = error instanceof Error ? error : new Error(String(error))
  if (error instanceof StoreUnavailableError) return { error: 'unavailable', message }
  return { error: error instanceof DamagedError ? 'damaged' : 'other', message }
}

if (!isMainThread) await serve(workerData as EventStoreSettings)
