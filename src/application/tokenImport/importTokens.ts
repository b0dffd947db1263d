import { genesis, isLinked, link } from '../../domain/chain.ts'
import { importToken } from '../../domain/decide.ts'
import { DamagedError } from '../../domain/errors.ts'
import { isOfToken, tokenIdOf, tokenStream } from '../../domain/streams.ts'
import type { NewEvent, StoredEvent } from '../../domain/events.ts'
import { initialState } from '../../domain/token.ts'
import { notUnderstood, upcast, versions } from '../../domain/upcast.ts'
import { appendUntilKnown, QUIET } from '../eventLog/append.ts'
import { BULK_PATIENCE, type Patience } from '../eventLog/patience.ts'
import { bytesOf, type CheckedRows, createProblems, rowLinesOf, type OnProgress } from './checkRows.ts'
import { ids } from '../eventLog/ids.ts'
import { importedEventId } from './ids.ts'
import type { ImportLease } from './importLease.ts'
import { type ImportedToken, readRow } from './row.ts'
import { type Clock, iso } from '../ports/clock.ts'
import { ConflictError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { placeOf, productEvents } from '../eventLog/productEvents.ts'
import { type BadFileError, badLine } from '../transfer/file.ts'

/**
 * Imports the tokens of an older system, from a file with a row of its table in each line. There are three steps: all
 * rows are checked, then all are compared with the store, and only then are they written, each as the first event of
 * its token's stream. The event's id is derived from the row, so that an import recognises what an earlier one has
 * written.
 */

/** The result of an earlier comparison, and the position of the newest event before it began. */
export interface Compared {
  there: Uint8Array
  end: string | null
}

/**
 * Finds the rows that the store has already, by reading the first event of every token in it.
 * @param onProgress gets the number of events read so far
 * @param earlier continues from this comparison
 * @returns at the index of line number minus one: 1 if the store has the row
 * @throws BadRowsError for rows whose id or token another token of the store has; DamagedError
 */
export async function compareRows(
  rows: CheckedRows,
  store: EventStore,
  onProgress: OnProgress,
  earlier: Compared = { there: new Uint8Array(rows.lines), end: null },
): Promise<Uint8Array> {
  const problems = createProblems()
  const { there, end } = earlier
  let events = 0
  for await (const batch of productEvents(store, undefined, end)) {
    for (const event of batch) if (isFirst(event)) compare(event)
    onProgress((events += batch.length))
  }
  problems.assertNone()
  return there

  function compare(event: StoredEvent): void {
    if (event.metadata === null || !isLinked(genesis(event.stream), event)) {
      throw new DamagedError(`${placeOf(event)} is not what was written.`)
    }
    const tokenId = tokenIdOf(event.stream)
    const line = rows.byToken.find(bytesOf(tokenId))
    if (line !== null) {
      const isSame = Buffer.compare(rows.eventIds.at(line - 1), bytesOf(event.id)) === 0
      if (isSame) there[line - 1] = 1
      else problems.add(line, `the store has token ${tokenId} with other data`)
    }
    const lineOfHash = rows.byHash.find(bytesOf(hashOf(event)))
    if (lineOfHash !== null && lineOfHash !== line) {
      problems.add(lineOfHash, `its token is that of ${tokenId} in the store`)
    }
  }
}

/**
 * The hash in an event; empty for one that only informs.
 * @throws DamagedError for an event that may hold a hash which this code cannot read
 */
function hashOf(event: StoredEvent): string {
  const read = upcast(event)
  const reason = notUnderstood(event, read)
  if (reason !== null) throw new DamagedError(`${placeOf(event)} is of an ${reason}.`)
  const data = read.kind === 'event' ? (read.event.data as { hash?: string }) : {}
  return data.hash ?? ''
}

const isFirst = (event: StoredEvent): boolean => event.revision === 0 && isOfToken(event)

/**
 * Appends that are under way together, which is faster than one after the other. EventStoreDB takes up to 100 calls.
 */
const AT_ONCE = 50

interface ImportContext {
  store: EventStore
  clock: Clock
  /** Default: for a store that only one process can write. */
  lease?: ImportLease
  patience?: Patience
}

/**
 * Writes the rows that the store does not have. If it is ended, each row is in the store as a whole or not at all, and
 * the next import resumes.
 * @param there the result of `compareRows`
 * @param onProgress gets the number of rows that are in the store
 * @returns how many rows were written
 * @throws BadFileError if the file has changed since it was checked; errors of `lease.hold` and of `append`
 */
export async function importRows(
  chunks: AsyncIterable<Uint8Array>,
  rows: CheckedRows,
  there: Uint8Array,
  { store, clock, lease = ALONE, patience = BULK_PATIENCE }: ImportContext,
  onProgress: OnProgress,
): Promise<number> {
  const requestId = ids.random()
  // Another import may have begun during an outage, so no row is sent again without the lease.
  const appending = { store, telemetry: QUIET, patience: { ...patience, beforeRetry: () => lease.hold() } }
  let [missing, written, read]: [Missing[], number, number] = [[], 0, 0]

  async function write(): Promise<void> {
    if (missing.length === 0) return
    await lease.hold()
    // Before this process had the lease, another one may have written some of them; `there` knows of those now.
    const left = missing.filter(({ line }) => there[line - 1] === 0)
    // None of them may go on by itself when another one has failed.
    const outcomes = await Promise.allSettled(left.map(append))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    written += left.length
    missing = []
  }

  for await (const { line, text } of rowLinesOf(chunks)) {
    const row = readRow(text, rows.rules)
    if (typeof row === 'string') throw changed(line)
    const id = importedEventId(row)
    if (Buffer.compare(rows.eventIds.at(line - 1), bytesOf(id)) !== 0) throw changed(line)
    if (there[line - 1] === 0) missing.push({ line, row, id })
    read = line
    if (missing.length === AT_ONCE) await write()
    lease.advance(read - missing.length)
    onProgress(read - missing.length)
  }
  await write()
  onProgress(read)
  if (read < rows.lines) throw changed(read + 1)
  return written

  async function append({ line, row, id }: Missing): Promise<void> {
    const stream = tokenStream(row.tokenId)
    const fact = importToken(initialState, row)
    const metadata = {
      at: iso(clock()),
      actor: { kind: 'system' as const, id: 'import-tokens' },
      requestId,
      correlationId: requestId,
      ip: null,
      userAgent: null,
      schemaVersion: versions[fact.type].current,
      chain: '',
    }
    const events: NewEvent[] = link(genesis(stream), [{ id, ...fact, metadata }])
    try {
      await appendUntilKnown(appending, stream, 'no_stream', events)
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
      throw badLine(line, 'the store has got a token with its id meanwhile: run the import again')
    }
  }
}

/** A row that the store does not have, and the id of the event that it becomes. */
interface Missing {
  line: number
  row: ImportedToken
  id: string
}

/** For a store that only one process can write: no lease is needed. */
const ALONE: ImportLease = { async hold() {}, advance() {} }

const changed = (line: number): BadFileError => badLine(line, 'it has changed since the file was checked')
