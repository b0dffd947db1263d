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
 * Makes this the one writer of a file until released. The lock is an exclusive transaction on `<file>.lock`, so the
 * operating system frees it with the process, however that ends; the file itself stays and means nothing.
 * @throws StoreInUseError at once, also for a second writer in the same process; StoreUnavailableError it cannot be
 *   written by this process
 */
export async function lockFile(path: string): Promise<Lock> {
  // Two names of one file must meet at one lock.
  const target = targetOf(path)
  assertWritable(target)
  assertWritable(`${target}.lock`)
  const database = await openPlain(`${target}.lock`)
  try {
    // Without a journal nothing is written for it, which a full disk would not take.
    database.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (error instanceof BusyError) throw new StoreInUseError(path)
    throw error
  }
  return {
    release() {
      // libsql closes a file only when its statements are collected: end the transaction first.
      database.exec('ROLLBACK')
      database.close()
    },
  }
}

/** What links lead to, also where that is not there yet: SQLite names what lies beside a file after it. */
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
