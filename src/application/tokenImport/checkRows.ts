import { importedEventId } from './ids.ts'
import { type Column, createColumn, createKeyTable, type KeyTable } from './keyTable.ts'
import { BYTE_ORDER_MARK, readRow, type RowRules } from './row.ts'
import { linesOf } from '../transfer/file.ts'

export interface RowProblem {
  line: number
  message: string
}

/** Some rows cannot be imported, so no row of their file was. */
export class BadRowsError extends Error {
  override name = 'BadRowsError'
  /** The first problems, ordered by line. */
  readonly problems: readonly RowProblem[]
  readonly more: number

  constructor(problems: readonly RowProblem[], more: number) {
    const lines = problems.map(({ line, message }) => `Line ${line}: ${message}.`)
    if (more > 0) lines.push(`And ${more} more.`)
    super([...lines, 'Nothing was imported.'].join('\n'))
    this.problems = problems
    this.more = more
  }
}

/** What is remembered of a file whose rows are all good: some 100 bytes for each row. */
export interface CheckedRows {
  count: number
  /** The number of the last row's line. */
  lines: number
  rules: RowRules
  /** Line numbers by token id and by hash. */
  byToken: KeyTable
  byHash: KeyTable
  /** The ids of the events that the rows become, by line number minus one; zeros for a blank line. */
  eventIds: Column
}

export type OnProgress = (done: number) => void

const NO_EVENT = new Uint8Array(16)

/**
 * The lines that are not blank. The last one may lack its line end.
 * @throws BadFileError naming a line
 */
export async function* rowLinesOf(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ line: number; text: string }, void, undefined> {
  for await (const { number: line, text } of linesOf(chunks, true)) {
    if (!isBlank(text)) yield { line, text }
  }
}

/** `trim` takes a byte order mark for white space. */
const isBlank = (text: string): boolean => text.trim() === '' && !text.includes(BYTE_ORDER_MARK)

/**
 * Checks all rows, and writes nothing.
 * @throws BadRowsError, BadFileError that name lines
 */
export async function checkRows(
  chunks: AsyncIterable<Uint8Array>,
  rules: RowRules,
  onProgress: OnProgress,
): Promise<CheckedRows> {
  const problems = createProblems()
  const [byToken, byHash, eventIds] = [createKeyTable(16), createKeyTable(32), createColumn(16)]
  let [count, lines] = [0, 0]
  for await (const { line, text } of rowLinesOf(chunks)) {
    count++
    while (++lines < line) eventIds.push(NO_EVENT)
    const row = readRow(text, rules)
    if (typeof row === 'string') {
      problems.add(line, row)
    } else {
      const sameToken = byToken.add(bytesOf(row.tokenId), line)
      if (sameToken !== null) problems.add(line, `its id is that of line ${sameToken}`)
      const sameHash = byHash.add(bytesOf(row.hash), line)
      if (sameHash !== null) problems.add(line, `its token is that of line ${sameHash}`)
      eventIds.push(bytesOf(importedEventId(row)))
    }
    onProgress(count)
  }
  problems.assertNone()
  return { count, lines, rules, byToken, byHash, eventIds }
}

/** The bytes of a UUID or a hash. Any other text gives bytes that match no row. */
export const bytesOf = (hex: string): Uint8Array => Buffer.from(hex.replaceAll('-', ''), 'hex')

/** How many problems are named at most: as many as a person reads. */
const NAMED = 20

export function createProblems() {
  const named: RowProblem[] = []
  let count = 0
  return {
    add(line: number, message: string): void {
      count++
      if (named.length < NAMED) named.push({ line, message })
    },
    assertNone(): void {
      if (count > 0)
        throw new BadRowsError(
          named.sort((a, b) => a.line - b.line),
          count - named.length,
        )
    },
  }
}
