import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Entry, Saved } from './log.ts'

const CHUNK = 'chunk-000000.000000'
/** Where the log ends. */
const CHASER = 'chaser.chk'
/** Where the log is to be cut off at the next start. A restored backup brings it along. */
const TRUNCATE = 'truncate.chk'

/**
 * Cuts the log off, if the folder asks for that.
 * @returns whether it did: the server then ends, with exit code 0, to be started again
 */
export function truncated(folder: string): boolean {
  const path = join(folder, TRUNCATE)
  if (!existsSync(path)) return false
  const end = readPosition(path)
  const entries = readEntries(folder).filter(({ position }) => position < end)
  writeFileSync(join(folder, CHUNK), entries.map(toLine).join(''))
  writePosition(join(folder, CHASER), end)
  rmSync(path)
  return true
}

/** The log that is in a folder; undefined if there is none yet. */
export function savedIn(folder: string): Saved | undefined {
  if (!existsSync(join(folder, CHASER))) return undefined
  return { entries: readEntries(folder), end: readPosition(join(folder, CHASER)) }
}

/** @returns a function that keeps what was appended */
export function keepIn(folder: string): (entries: readonly Entry[], end: bigint) => void {
  mkdirSync(folder, { recursive: true })
  return (entries, end) => {
    appendFileSync(join(folder, CHUNK), entries.map(toLine).join(''))
    writePosition(join(folder, CHASER), end)
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

const toLine = ({ data, metadata, position, ...rest }: Entry): string =>
  `${JSON.stringify({ ...rest, data: base64(data), metadata: base64(metadata), position: String(position) })}\n`

function readEntries(folder: string): Entry[] {
  const lines = readFileSync(join(folder, CHUNK), 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => {
    const { data, metadata, position, ...rest } = JSON.parse(line)
    return {
      ...rest,
      data: Buffer.from(data, 'base64'),
      metadata: Buffer.from(metadata, 'base64'),
      position: BigInt(position),
    }
  })
}

const readPosition = (path: string): bigint => readFileSync(path).readBigInt64LE()

function writePosition(path: string, position: bigint): void {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(position)
  writeFileSync(path, bytes)
}
