import type { NewEvent } from '../../domain/events.ts'
import { appendUntilKnown, QUIET } from '../eventLog/append.ts'
import { BULK_PATIENCE, type Patience, patientReads } from '../eventLog/patience.ts'
import type { EventStore, ExpectedRevision } from '../ports/eventStore.ts'
import { placeOf, productEvents } from '../eventLog/productEvents.ts'
import {
  BadFileError,
  createSum,
  lineOf,
  linesOf,
  type MovedEvent,
  parseLastLine,
  parseLine,
  type Sum,
} from './file.ts'

/** The store holds events that are not in this file, so nothing is imported into it. */
export class NotEmptyError extends Error {
  override name = 'NotEmptyError'
}

export interface Imported extends Sum {
  /** How many of the events an earlier import of the same file has written. */
  alreadyThere: number
}

export interface ImportProgress {
  /** Gets the number of the file's events that are in the store. */
  written(events: number): void
  /** Gets the number of events that were read back from the store. */
  readBack(events: number): void
}

/**
 * Writes the events of a file that `checkFile` found sound, in the same order, one append after the other. So whenever
 * it ends, the store holds the beginning of the file, and the next import resumes there. An outage is waited for.
 * @returns the sum of what the store holds afterwards, read back: the caller compares it with that of `checkFile`
 * @throws NotEmptyError before anything is written; errors of `append`
 */
export async function importEvents(
  to: EventStore,
  chunks: AsyncIterable<Uint8Array>,
  onProgress: ImportProgress = { written() {}, readBack() {} },
  patience: Patience = BULK_PATIENCE,
): Promise<Imported> {
  const store = patientReads(to, patience)
  const rest = eventsOf(chunks)
  try {
    const alreadyThere = await skipPresent(store, rest)
    let written = alreadyThere
    onProgress.written(written)
    for await (const { stream, expected, events } of appendsOf(rest)) {
      await appendUntilKnown({ store, telemetry: QUIET, patience }, stream, expected, events)
      onProgress.written((written += events.length))
    }
    return { ...(await readBack(store, onProgress)), alreadyThere }
  } finally {
    await rest.return(undefined)
  }
}

interface FileEvent {
  event: MovedEvent
  text: string
  bytes: number
}

async function* eventsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<FileEvent, undefined, undefined> {
  for await (const { number, text, bytes } of linesOf(chunks)) {
    if (parseLastLine(text)) return
    const event = parseLine(text)
    if (!event) throw new BadFileError(`Line ${number} has changed since the file was checked.`)
    yield { event, text, bytes: bytes.length }
  }
}

/** Skips the events of the file that are in the store already. @returns how many there are */
async function skipPresent(store: EventStore, rest: AsyncGenerator<FileEvent, undefined>): Promise<number> {
  let count = 0
  for await (const batch of productEvents(store)) {
    for (const stored of batch) {
      const { value } = await rest.next()
      if (value?.text !== lineOf(stored)) {
        throw new NotEmptyError(
          `The event store is not empty, and what it holds is not the beginning of this file: ${placeOf(stored)} is not event ${count + 1} of it.`,
        )
      }
      count++
    }
  }
  return count
}

interface Append {
  stream: string
  expected: ExpectedRevision
  events: NewEvent[]
}

/** Larger appends drop live EventStoreDB subscriptions; it takes up to 1 MiB, its own bookkeeping included. */
const EVENTS_PER_APPEND = 100
const BYTES_PER_APPEND = 256 * 1024

/** Puts events into one append if they follow each other both in the file and in their stream. */
async function* appendsOf(events: AsyncIterable<FileEvent>): AsyncGenerator<Append, void, undefined> {
  let append: Append | undefined
  let size = 0
  for await (const { event, bytes } of events) {
    const { stream, revision, id, type, data, metadata } = event
    const isFull = append?.events.length === EVENTS_PER_APPEND || size + bytes > BYTES_PER_APPEND
    if (append && (append.stream !== stream || isFull)) {
      yield append
      append = undefined
    }
    if (!append) {
      append = { stream, expected: revision === 0 ? 'no_stream' : revision - 1, events: [] }
      size = 0
    }
    append.events.push({ id, type, data, metadata } as NewEvent)
    size += bytes
  }
  if (append) yield append
}

async function readBack(store: EventStore, onProgress: ImportProgress): Promise<Sum> {
  const sum = createSum()
  let events = 0
  for await (const batch of productEvents(store)) {
    for (const event of batch) sum.add(lineOf(event))
    onProgress.readBack((events += batch.length))
  }
  return sum.result()
}
