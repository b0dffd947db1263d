import { readlinkSync, realpathSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { openPlain } from './database.ts'
import { StoreInUseError } from '../../../application/ports/errors.ts'
import { BusyError } from './errors.ts'
import { assertWritable } from './writable.ts'

export interface Lock {
  release(): void
}

/**
 * Makes the caller the only writer of a file until the lock is released. The lock is an exclusive transaction on
 * `<file>.lock`, so the operating system releases it when the process ends, in whatever way. The lock file stays there,
 * and means nothing by itself.
 * @throws StoreInUseError at once if there is another writer, also in the same process; StoreUnavailableError if this
 *   process may not write it
 */
export async function lockFile(path: string): Promise<Lock> {
  // Links are followed, so that two names of one file lead to the same lock.
  const target = targetOf(path)
  assertWritable(target)
  assertWritable(`${target}.lock`)
  const database = await openPlain(`${target}.lock`)
  try {
    // With the journal in memory, locking writes nothing, so it works on a full disk as well.
    database.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (error instanceof BusyError) throw new StoreInUseError(path)
    throw error
  }
  return {
    release() {
      // libsql closes a file only when its statements are garbage-collected, so the transaction is ended before.
      database.exec('ROLLBACK')
      database.close()
    },
  }
}

/** The file that links lead to, even if it does not exist yet. SQLite names the files beside a database after it. */
export function targetOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    try {
      return targetOf(resolve(dirname(path), readlinkSync(path)))
    } catch {
      return path
    }
  }
}
