import { closeSync, openSync, readSync } from 'node:fs'
import { tokensIn } from '../../src/domain/credential.ts'
import { WrongUse } from './command.ts'

/** A secret that somebody has found, and the line of the file in which it begins first, counted from 1. */
export interface FoundSecret {
  secret: string
  line: number
}

/** The largest file that is read, in bytes. */
const MOST_BYTES = 16 * 1024 * 1024
/** A longer word is no secret. */
const LONGEST = 512
/** The length of the longest token, and of some white space. */
const AROUND = 100
const MOST_SECRETS = 100_000

/** @throws WrongUse, without anything of the file */
export function secretsInFile(path: string): FoundSecret[] {
  let bytes: Buffer
  try {
    bytes = readUpTo(path, MOST_BYTES + 1)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new WrongUse(`--from-file names a file that cannot be read (${code}).`)
  }
  if (bytes.length > MOST_BYTES) throw new WrongUse('--from-file names a file of more than 16 MiB.')
  const secrets = secretsIn(decoded(bytes))
  if (secrets.length === 0) throw new WrongUse('--from-file names a file in which no secret was found.')
  return secrets
}

/** The first bytes of a file, which may be a pipe or a device without an end. */
function readUpTo(path: string, most: number): Buffer {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(most)
    let size = 0
    for (let read = -1; read !== 0 && size < most; size += read)
      read = readSync(file, bytes, size, most - size, null)
    return bytes.subarray(0, size)
  } finally {
    closeSync(file)
  }
}

/** UTF-16 begins with a byte order mark; anything else is taken for UTF-8. */
function decoded(bytes: Buffer): string {
  const mark = bytes.subarray(0, 2).toString('hex')
  const encoding = mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8'
  return new TextDecoder(encoding).decode(bytes)
}

/**
 * The secrets in a text. If each line has one word, these are the secrets, whatever their form, unless a token is within
 * the word. Any other text is searched for tokens by their format, also for those within which a line was broken.
 * @throws WrongUse if there are more than can be looked for
 */
export function secretsIn(text: string): FoundSecret[] {
  let isList = true
  for (const line of linesOf(text)) isList &&= line.length <= LONGEST && !/\s/.test(line)
  const found = new Map<string, number>()
  const add = (secret: string, line: number): void => {
    if (!found.has(secret)) found.set(secret, line)
    if (found.size > MOST_SECRETS)
      throw new WrongUse(`There are more than ${MOST_SECRETS} secrets: name fewer at a time.`)
  }
  let [before, n] = ['', 0]
  for (const line of linesOf(text)) {
    n++
    const joined = endOf(before) + line.slice(0, AROUND)
    before = line
    if (line === '') continue
    const tokens = tokensIn(line)
    for (const token of tokens) add(token, n)
    if (isList && tokens.length === 0) add(line, n)
    for (const token of tokensIn(joined)) add(token, n - 1)
  }
  return [...found].map(([secret, line]) => ({ secret, line }))
}

/** The lines of a text, without the white space around them. */
function* linesOf(text: string): Generator<string> {
  for (let [from, to] = [0, 0]; to >= 0; from = to + 1) {
    to = text.indexOf('\n', from)
    yield text.slice(from, to < 0 ? undefined : to).trim()
  }
}

/** What a line ends with. Mail breaks a long line behind a `=` (RFC 2045 §6.7). */
const endOf = (line: string): string => line.slice(-AROUND, line.endsWith('=') ? -1 : undefined)

/** How many secrets one request names, and how many bytes they have together. */
const MOST = 1_000
const MOST_TOGETHER = 200 * 1024

/** Splits them into as many as the service takes at once. */
export function* batchesOf(secrets: readonly FoundSecret[]): Generator<FoundSecret[]> {
  let [batch, bytes]: [FoundSecret[], number] = [[], 0]
  for (const found of secrets) {
    const size = Buffer.byteLength(JSON.stringify(found.secret)) + 1
    if (batch.length === MOST || bytes + size > MOST_TOGETHER) {
      yield batch
      ;[batch, bytes] = [[], 0]
    }
    batch.push(found)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
