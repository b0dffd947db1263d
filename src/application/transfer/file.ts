import { createHash } from 'node:crypto'
import type { StoredEvent } from '../../domain/events.ts'

/**
 * The file in which events are moved: NDJSON in UTF-8. It has a line for each event, in log order, and a last line with
 * their number and the SHA-256 of all bytes before it, so that a file which was cut short is noticed.
 */

/** An event without its position, since that is different in every store. */
export type MovedEvent = Omit<StoredEvent, 'position'>

export interface Sum {
  events: number
  /** SHA-256 of the lines of the events, line ends included, in lower-case hex. */
  sha256: string
}

/** The file is not what `export` writes. */
export class BadFileError extends Error {
  override name = 'BadFileError'
}

export const badLine = (line: number, why: string): BadFileError => new BadFileError(`Line ${line}: ${why}.`)

/** More than any event of the product has, and as much as EventStoreDB takes. */
export const MAX_LINE_BYTES = 1024 * 1024

/** The line of an event. The members of `data` and `metadata` keep their order, as they do in every store. */
export const lineOf = ({ stream, revision, id, type, data, metadata }: MovedEvent): string =>
  `${JSON.stringify({ stream, revision, id, type, data, metadata })}\n`

export const lastLineOf = ({ events, sha256 }: Sum): string => `${JSON.stringify({ events, sha256 })}\n`

/** Counts lines and hashes them. */
export function createSum(): { add(line: string | Uint8Array): void; result(): Sum } {
  const hash = createHash('sha256')
  let events = 0
  return {
    add(line) {
      hash.update(line)
      events++
    },
    result: () => ({ events, sha256: hash.digest('hex') }),
  }
}

/** The event of a line; null if `lineOf` would not write it exactly like this. */
export function parseLine(text: string): MovedEvent | null {
  try {
    const event = JSON.parse(text) as MovedEvent
    return lineOf(event) === text ? event : null
  } catch {
    return null
  }
}

const LAST_LINE = /^\{"events":(0|[1-9]\d{0,15}),"sha256":"([0-9a-f]{64})"\}\n$/

/** What the last line says; null for any other line. */
export function parseLastLine(text: string): Sum | null {
  const [, events, sha256] = LAST_LINE.exec(text) ?? []
  return sha256 === undefined ? null : { events: Number(events), sha256 }
}

export interface Line {
  /** From 1. */
  number: number
  text: string
  bytes: Uint8Array
}

const LINE_END = 10

/**
 * @param endIsOptional of the last line; otherwise a file without it was cut short
 * @throws BadFileError a line is too long, is not UTF-8, or has no end
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  endIsOptional = false,
): AsyncGenerator<Line, void, undefined> {
  let rest: Uint8Array = new Uint8Array()
  let number = 0
  for await (const chunk of chunks) {
    const piece = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let start = 0
    for (let end = piece.indexOf(LINE_END); end >= 0; end = piece.indexOf(LINE_END, start)) {
      const bytes = piece.subarray(start, end + 1)
      number++
      yield { number, text: decode(bytes, number), bytes }
      start = end + 1
    }
    rest = piece.subarray(start)
    if (rest.length > MAX_LINE_BYTES) throw badLine(number + 1, 'it is too long')
  }
  if (rest.length === 0) return
  if (!endIsOptional) throw new BadFileError(`The file is cut short in line ${number + 1}.`)
  yield { number: number + 1, text: decode(rest, number + 1), bytes: rest }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decode(bytes: Uint8Array, number: number): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw badLine(number, 'it is not UTF-8')
  }
}
