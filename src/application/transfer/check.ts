import type { StreamTail } from '../eventLog/linkedEvents.ts'
import { genesis, isLinked, storedChain } from '../../domain/chain.ts'
import { isOfToken, STREAMS, USAGE_STREAM } from '../../domain/streams.ts'
import { isUuid } from '../../domain/uuid.ts'
import {
  BadFileError,
  badLine,
  createSum,
  linesOf,
  MAX_LINE_BYTES,
  type MovedEvent,
  parseLastLine,
  parseLine,
  type Sum,
} from './file.ts'

/**
 * Checks which events can be moved. Export and import share it, so that nothing is exported that cannot be imported.
 * Types and versions are not checked: a log may hold events that only a newer version knows, and has to be moved as a
 * whole.
 */

const STREAM = new RegExp(`^(${STREAMS.join('|')})[!-~]+$`)

/**
 * Checks events in log order: each has to follow from the one before it in its stream.
 * @param onShortened gets the name of a usage stream whose first events retention has taken. Default: that is an error
 * @returns a function that says what is wrong with an event, or null
 */
export function createCheck(
  onShortened?: (stream: string) => void,
): (event: MovedEvent, bytes: number) => string | null {
  const tails = new Map<string, StreamTail>()
  // Rows of a token's history have the ids of its events, so these ids must be unique. Ids of usage events have no
  // meaning after their append, and there may be more of them than memory has room for.
  const idsOfTokens = new Set<string>()

  function follows(event: MovedEvent): string | null {
    const { stream, revision, id } = event
    const isUsage = stream.startsWith(USAGE_STREAM)
    const tail = tails.get(stream)
    if (!tail && revision > 0 && isUsage) {
      if (!onShortened) return `${stream} was shortened by retention, such streams cannot be imported`
      onShortened(stream)
    } else {
      const next = tail ? tail.revision + 1 : 0
      if (revision !== next) return `revision ${next} of ${stream} should come here`
      if (!isLinked(tail?.chain ?? genesis(stream), event)) return 'it is not what was written'
    }
    if (isOfToken(event)) {
      if (idsOfTokens.has(id)) return 'its id is that of an earlier event'
      idsOfTokens.add(id)
    }
    if (tail) [tail.revision, tail.chain] = [revision, storedChain(event)]
    else tails.set(stream, { revision, chain: storedChain(event) })
    return null
  }

  return (event, bytes) => {
    if (!isEvent(event)) return 'it is not an event of this product'
    if (bytes > MAX_LINE_BYTES) return 'it is too long'
    return follows(event)
  }
}

const isEvent = ({ stream, revision, id, type, data, metadata }: MovedEvent): boolean =>
  typeof stream === 'string' &&
  STREAM.test(stream) &&
  Number.isSafeInteger(revision) &&
  revision >= 0 &&
  typeof id === 'string' &&
  // EventStoreDB gives ids back in lower case, so they have to be written in it.
  isUuid(id) &&
  typeof type === 'string' &&
  type !== '' &&
  isObject(data) &&
  isObject(metadata)

const isObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Reads a whole file and checks everything in it. Memory grows with the number of streams and of token events.
 * @param onProgress gets the number of events read so far
 * @throws BadFileError that names the line
 */
export async function checkFile(
  chunks: AsyncIterable<Uint8Array>,
  onProgress: (events: number) => void = () => {},
): Promise<Sum> {
  const check = createCheck()
  const sum = createSum()
  let events = 0
  let last: Sum | null = null
  for await (const { number, text, bytes } of linesOf(chunks)) {
    if (last) throw badLine(number, 'it stands behind the last line')
    last = parseLastLine(text)
    if (last) continue
    const event = parseLine(text)
    if (!event) throw badLine(number, 'it is not an event as export writes it')
    const wrong = check(event, bytes.length)
    if (wrong !== null) throw badLine(number, wrong)
    sum.add(bytes)
    onProgress(++events)
  }
  if (!last) throw new BadFileError('The file is cut short: its last line is missing.')
  assertSame(last, sum.result())
  return last
}

function assertSame(said: Sum, found: Sum): void {
  if (said.events !== found.events) {
    throw badLine(found.events + 1, `it says ${said.events} events, and there are ${found.events}`)
  }
  if (said.sha256 !== found.sha256) {
    throw badLine(found.events + 1, 'the SHA-256 is another one: lines were altered or have changed places')
  }
}
