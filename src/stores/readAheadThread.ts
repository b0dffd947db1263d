import { parentPort, workerData } from 'node:worker_threads'
import { createLogReader, type LogReader } from '../application/eventLog/logReader.ts'
import { patientReads, READ_PATIENCE } from '../application/eventLog/patience.ts'
import { StoreUnavailableError } from '../application/ports/errors.ts'
import { DamagedError } from '../domain/errors.ts'
import { type EventStoreSettings, openEventStore, sqlitePath } from './open.ts'
import type { Answer, Question } from './readAhead.ts'

/**
 * How many pieces, and how many characters in them, are read before the first piece is taken. At least one piece is
 * read.
 */
const AHEAD = { pieces: 8, characters: 16 * 1024 * 1024 }

function serve(settings: EventStoreSettings): void {
  const opening = openEventStore(settings, { readOnly: true })
  const isServer = sqlitePath(settings.eventStoreUrl) === null
  const reading = opening.then((store) =>
    createLogReader(isServer ? patientReads(store, READ_PATIENCE) : store),
  )
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

serve(workerData as EventStoreSettings)
