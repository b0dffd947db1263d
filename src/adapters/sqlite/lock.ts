import { existsSync, realpathSync } from 'node:fs'
import { openPlain } from './database.ts'
import { isBusy } from './errors.ts'

/** The file has its one writer already. */
export class StoreInUseError extends Error {
  override name = 'StoreInUseError'

  constructor(path: string, options?: ErrorOptions) {
    super(`${path} is in use: another process has it open for writing`, options)
  }
}

export interface Lock {
  release(): void
}

/**
 * Makes this the one writer of a file until released. The lock is an exclusive transaction on `<file>.lock`, so the
 * operating system frees it with the process, however that ends; the file itself stays and means nothing.
 * @throws StoreInUseError at once, also for a second writer in the same process
 */
export async function lockFile(path: string): Promise<Lock> {
  // Two names of one file must meet at one lock.
  const file = existsSync(path) ? realpathSync(path) : path
  const database = await openPlain(`${file}.lock`)
  try {
    database.exec('PRAGMA busy_timeout = 0')
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (isBusy(error)) throw new StoreInUseError(path, { cause: error })
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
