import { closeSync, existsSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { DamagedError } from '../../../domain/errors.ts'

/**
 * A checksum of a whole database file. It is made when the file is closed in good order, and kept beside it. SQLite
 * does not notice most flipped bits, and one in an index or a key can hide a document, which checksums of documents do
 * not show. Reading a whole file takes about 0.3 s per GB.
 */

const CHUNK = 1024 * 1024

const sealOf = (path: string): string => `${path}.seal`

/**
 * To be called when everything is in the file and nobody writes it any more.
 * @throws an error of the file system, of a full disk for example; then there is no seal
 */
export function seal(path: string): void {
  try {
    writeFileSync(sealOf(path), summary(path), { mode: 0o600 })
  } catch (error) {
    unseal(path)
    throw error
  }
}

/** To be called before the first write. From then on only SQLite and the checksums of documents protect the file. */
export function unseal(path: string): void {
  rmSync(sealOf(path), { force: true })
}

/**
 * @returns true if a seal proves that the file is intact; false after a crash, or while somebody writes the file
 * @throws DamagedError if the file is not as it was left
 */
export function checkSeal(path: string): boolean {
  const before = readSeal(path)
  if (before === undefined) return false
  if (before === summary(path)) return true
  // A writer may have opened the file while this reader was reading it.
  if (readSeal(path) !== before) return false
  throw beyondUse(path)
}

/** Is there a seal, whatever it says? */
export const isSealed = (path: string): boolean => readSeal(path) !== undefined

/** As `checkSeal`, but without blocking the event loop, and only for a file that nobody else opens. */
export async function isAsSealed(path: string): Promise<boolean> {
  const before = readSeal(path)
  if (before === undefined) return false
  const file = await open(path)
  try {
    const chunk = Buffer.allocUnsafe(CHUNK)
    let [size, crc] = [0, 0]
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK)
      if (bytesRead === 0) return before === summaryOf(size, crc)
      crc = crc32(chunk.subarray(0, bytesRead), crc)
      size += bytesRead
    }
  } finally {
    await file.close()
  }
}

export const beyondUse = (path: string): DamagedError =>
  new DamagedError(`${path} is not as it was left: remove it, and it is filled again from the event log`)

/** A seal whose file somebody has removed says nothing of the next file at that path. */
function readSeal(path: string): string | undefined {
  if (!existsSync(path)) return undefined
  try {
    const text = readFileSync(sealOf(path), 'utf8')
    // A seal that was cut short by a crash or a full disk counts as none.
    return text.endsWith('\n') ? text : undefined
  } catch {
    return undefined
  }
}

function summary(path: string): string {
  const file = openSync(path, 'r')
  try {
    const chunk = Buffer.allocUnsafe(CHUNK)
    let [size, crc] = [0, 0]
    for (let n = readSync(file, chunk); n > 0; n = readSync(file, chunk)) {
      crc = crc32(chunk.subarray(0, n), crc)
      size += n
    }
    return summaryOf(size, crc)
  } finally {
    closeSync(file)
  }
}

const summaryOf = (size: number, crc: number): string => `${size} ${crc.toString(16)}\n`
