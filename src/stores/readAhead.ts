import { on } from 'node:events'
import { fileURLToPath } from 'node:url'
import {
  isMainThread,
  MessageChannel,
  type MessagePort,
  parentPort,
  Worker,
  workerData,
} from 'node:worker_threads'
import { StoreUnavailableError } from '../application/ports/errors.ts'
import { createLogReader, type Inspected, type LogReader } from '../application/eventLog/logReader.ts'
import { DamagedError } from '../domain/errors.ts'
import { type EventStoreSettings, openEventStore } from './open.ts'

type Answer = string | { error: 'unavailable' | 'damaged' | 'other'; message: string }

interface Question {
  from: string | null
  port: MessagePort
}

/**
 * How many pieces, and how many characters in them, are read before the first piece is taken. At least one piece is
 * read.
 */
const AHEAD = { pieces: 8, characters: 16 * 1024 * 1024 }
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
  const worker = new Worker(fileURLToPath(import.meta.url), {
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

// --- The thread ----------------------------------------------------------------------------------------------

function serve(settings: EventStoreSettings): void {
  const opening = openEventStore(settings, { readOnly: true })
  const reading = opening.then(createLogReader)
  // Whoever asks a question gets this error.
  reading.catch(() => {})
  // This ends the thread, not the process, whatever the store has left behind.
  const end = () => process.exit()
  parentPort?.on('message', (question: Question | null) => {
    void (question ? answer(reading, question) : opening.then((store) => store.close()).then(end, end))
  })
}

async function answer(reading: Promise<LogReader>, { from, port }: Question): Promise<void> {
  const stopping = new AbortController()
  /** The lengths of the pieces that were sent and not taken yet, in characters. */
  const ahead: number[] = []
  const isFar = (): boolean =>
    ahead.length >= AHEAD.pieces || ahead.reduce((sum, length) => sum + length, 0) >= AHEAD.characters
  let taken = (): void => {}
  port.on('message', () => {
    ahead.shift()
    taken()
  })
  port.once('close', () => {
    stopping.abort()
    taken()
  })
  try {
    const read = await reading
    for await (const piece of read(from, stopping.signal)) {
      const text: Answer = JSON.stringify(piece)
      port.postMessage(text)
      ahead.push(text.length)
      while (isFar() && !stopping.signal.aborted) await new Promise<void>((resolve) => (taken = resolve))
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

if (!isMainThread) serve(workerData as EventStoreSettings)
