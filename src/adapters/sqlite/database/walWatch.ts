import { statSync } from 'node:fs'
import type { Logger } from '../../../application/ports/telemetry.ts'
import { whoReads } from './holders.ts'
import { targetOf } from './lock.ts'

/**
 * Warns when the write-ahead log becomes large. Writes go into that file beside the database, and are moved into the
 * database from time to time, but only as far as nobody still reads an older state. So a program that reads for hours
 * makes the log grow, until the disk is full.
 */
export interface WalWatch {
  /** To be called after a commit. Says once that the log has become large, and once that it is small again. */
  look(): void
}

/** Far more than it grows to while no reader is in the way. */
export const LARGE_BYTES = 256 * 1024 * 1024
const EVERY_MS = 10_000

/** The size of the write-ahead log of a database in bytes; 0 if there is none. */
export const walBytes = (path: string): number =>
  statSync(`${targetOf(path)}-wal`, { throwIfNoEntry: false })?.size ?? 0

export function createWalWatch(
  file: string,
  log: Logger | undefined,
  clock = () => performance.now(),
): WalWatch {
  let lookAgainAt = clock() + EVERY_MS
  let wasLarge = false

  async function say(bytes: number): Promise<void> {
    log?.warn(
      { file, bytes, readers: await whoReads(file) },
      'another program has read the file for so long that its write-ahead log grows',
    )
  }

  return {
    look() {
      const now = clock()
      if (now < lookAgainAt) return
      lookAgainAt = now + EVERY_MS
      const bytes = walBytes(file)
      const isLarge = bytes > (wasLarge ? LARGE_BYTES / 2 : LARGE_BYTES)
      if (isLarge && !wasLarge) void say(bytes)
      if (!isLarge && wasLarge) log?.info({ file, bytes }, 'its write-ahead log is small again')
      wasLarge = isLarge
    },
  }
}
