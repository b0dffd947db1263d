import { statSync } from 'node:fs'
import type { Logger } from '../../../application/ports/telemetry.ts'
import { whoReads } from './holders.ts'
import { targetOf } from './lock.ts'

/**
 * What is written goes into a file beside the database, the write-ahead log, and is moved into the database now and
 * then; but not past what somebody still reads. Who reads for hours lets it grow all the time, and the disk fill up.
 */
export interface WalWatch {
  /** To be called after a commit. Says once that the log has become large, and once that it is small again. */
  look(): void
}

/** Far more than SQLite lets it grow to while nobody is in the way. */
export const LARGE_BYTES = 256 * 1024 * 1024
const EVERY_MS = 10_000

/** Bytes of the write-ahead log of a database, 0 where there is none. */
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
