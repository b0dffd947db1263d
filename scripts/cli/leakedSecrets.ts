import { closeSync, openSync, readSync } from 'node:fs'
import { hasLegacyShape, tokensIn } from '../../src/domain/credential.ts'
import { WrongUse } from './command.ts'
import { unreadable } from './inputFile.ts'

/** What may be a secret, and the line of the file in which it begins first, counted from 1. */
export interface FoundSecret {
  secret: string
  line: number
  /** Has it the format of a token, perhaps with a wrong check or cut off? Anything else is only a guess. */
  isToken: boolean
}

export interface FoundSecrets {
  secrets: FoundSecret[]
  /** All that may be a secret, by the lines that have something that may. */
  lines: { line: number; candidates: string[] }[]
}

/** The largest file that is read, in bytes. */
const MOST_BYTES = 16 * 1024 * 1024
/** A longer word is no secret. */
const LONGEST = 512
/** The length of the longest token, and of some white space. */
const AROUND = 100
const MOST_SECRETS = 100_000

/** @throws WrongUse, without anything of the file */
export function secretsInFile(path: string): FoundSecrets {
  let bytes: Buffer
  try {
    bytes = readUpTo(path, MOST_BYTES + 1)
  } catch (error) {
    throw unreadable('--from-file', error)
  }
  if (bytes.length > MOST_BYTES) throw new WrongUse('--from-file names a file of more than 16 MiB.')
  const found = secretsIn(decoded(bytes))
  if (found.lines.length === 0) throw new WrongUse('--from-file names a file in which no secret was found.')
  return found
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

/** What has the look of a token of any prefix; only its check says whether it is one. */
const ALIKE = /(?<![\w-])[a-z][a-z0-9]{1,15}_[0-9A-Za-z]{20,200}(?![\w-])/g
/** Long enough to be a secret of another system, which may have the name of a member before it. */
const WORDS = /(?<!\S)\S{16,300}(?!\S)/g
/** What stands around values in code, in JSON and in the query of a URL. */
const MARKS = /["'`,;&?<>(){}[\]|]+/g
const UP_TO_VALUE = /^[^=:]*[=:]/

/**
 * What may be a secret in a text: tokens by their format, also those within which a line was broken, and any word, or
 * value of a member, that can be a secret of another system. If each line has one word, it may have any form.
 * @throws WrongUse if there are more than can be looked for; of mere guesses, only as many are taken
 */
export function secretsIn(text: string): FoundSecrets {
  let isList = true
  for (const line of linesOf(text)) isList &&= line.length <= LONGEST && !/\s/.test(line)
  const wanted = new Map<string, FoundSecret>()
  const guessed = new Map<string, FoundSecret>()
  const lines: FoundSecrets['lines'] = []

  function want(secret: string, line: number, isToken: boolean): void {
    if (!wanted.has(secret)) wanted.set(secret, { secret, line, isToken })
    if (wanted.size > MOST_SECRETS)
      throw new WrongUse(`There are more than ${MOST_SECRETS} secrets: name fewer at a time.`)
  }

  /** @param broken the token that begins in this line and ends in the next one; neither has its parts any more */
  function take(rest: string, line: number, broken: readonly string[]): void {
    const tokens = [...broken, ...tokensIn(rest), ...tokensAlike(rest)]
    for (const token of tokens) want(token, line, true)
    const isWord = isList && rest !== '' && tokens.length === 0
    if (isWord) want(rest, line, false)
    const guesses = guessesIn(rest)
    for (const secret of guesses)
      if (guessed.size < MOST_SECRETS && !guessed.has(secret))
        guessed.set(secret, { secret, line, isToken: false })
    const candidates = [...tokens, ...(isWord ? [rest] : []), ...guesses]
    if (candidates.length > 0) lines.push({ line, candidates })
  }

  let [before, n] = ['', 0]
  for (const line of linesOf(text)) {
    const broken = brokenToken(before, line)
    if (before !== '') take(broken?.head ?? before, n, broken ? [broken.token] : [])
    before = broken?.tail ?? line
    n++
  }
  if (before !== '') take(before, n, [])
  for (const secret of wanted.keys()) guessed.delete(secret)
  return { secrets: [...wanted.values(), ...guessed.values()].slice(0, MOST_SECRETS), lines }
}

const tokensAlike = (line: string): string[] =>
  [...line.matchAll(ALIKE)].map(([text]) => text).filter((text) => tokensIn(text).length === 0)

function guessesIn(line: string): Set<string> {
  const words = line.match(WORDS) ?? []
  const parts = line.replace(MARKS, ' ').match(WORDS) ?? []
  const values = parts.map((part) => part.replace(UP_TO_VALUE, ''))
  return new Set(
    [...words, ...parts, ...values].filter((word) => hasLegacyShape(word) && tokensIn(word).length === 0),
  )
}

/** The token that begins at the end of one line and ends in the next, and what the two lines have beside it. */
function brokenToken(before: string, line: string): { token: string; head: string; tail: string } | null {
  if (before === '' || line === '') return null
  const end = endOf(before)
  const joined = end + line.slice(0, AROUND)
  for (const token of tokensIn(joined)) {
    const [from, to] = [joined.indexOf(token), joined.indexOf(token) + token.length]
    if (from >= end.length || to <= end.length) continue
    const head = before.slice(0, Math.max(0, before.length - AROUND)) + before.slice(-AROUND).slice(0, from)
    return { token, head, tail: line.slice(to - end.length) }
  }
  return null
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
