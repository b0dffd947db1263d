import { existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Lock, lockFile } from '../../src/adapters/sqlite/database/lock.ts'
import { StoreInUseError } from '../../src/application/ports/errors.ts'

/** What ends a process unless it says otherwise: by a supervisor, by a key, with its terminal. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const
/** The operating system takes it away with the process, however that ends. */
const OWNER = 'owner'
const ATTEMPTS = 5
/** What `mkdtemp` adds to a prefix. */
const MADE = /^[A-Za-z0-9]{6}$/

/**
 * A folder for files that nobody else may read and that go with the process: at the end of `work`, at the process's own
 * end, and at a signal. What a `kill -9` leaves is cleared by the next call with the same prefix.
 * @param prefix path that the folder's begins with
 */
export async function withTemporaryFolder<T>(
  prefix: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  await clearAbandoned(prefix)
  const made: string[] = []
  const remove = (): void => {
    for (const folder of made) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  const forget = beforeTheEnd(remove)
  let lock: Lock | undefined
  try {
    lock = await makeOwned(prefix, made)
    return await work(made.at(-1) ?? '')
  } finally {
    forget()
    lock?.release()
    remove()
  }
}

/** @returns takes that back */
function beforeTheEnd(remove: () => void): () => void {
  // Ends the process as the signal would have.
  const end = (signal: NodeJS.Signals): void => {
    remove()
    process.kill(process.pid, signal)
  }
  for (const signal of SIGNALS) process.once(signal, end)
  process.once('exit', remove)
  return () => {
    for (const signal of SIGNALS) process.off(signal, end)
    process.off('exit', remove)
  }
}

/** @param made gets its path, as soon as there is one */
async function makeOwned(prefix: string, made: string[]): Promise<Lock> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    // Mode 0700.
    const folder = mkdtempSync(prefix)
    made.push(folder)
    const lock = await tryLock(folder)
    // Another process may have taken it for an abandoned one before it was locked.
    if (lock && existsSync(lockOf(folder))) return lock
    lock?.release()
  }
  throw new Error(`${dirname(prefix)}: no folder could be made`)
}

async function clearAbandoned(prefix: string): Promise<void> {
  const [parent, start] = [dirname(prefix), basename(prefix)]
  for (const name of await readdir(parent)) {
    const folder = join(parent, name)
    if (!name.startsWith(start) || !MADE.test(name.slice(start.length)) || !isOwn(folder)) continue
    const lock = await tryLock(folder)
    if (!lock) continue
    rmSync(folder, { recursive: true, force: true })
    lock.release()
  }
}

/** Made here: a folder of another user's may be a trap, and one without a lock is somebody's own. */
function isOwn(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false })
  return found?.isDirectory() === true && found.uid === process.getuid?.() && existsSync(lockOf(folder))
}

const lockOf = (folder: string): string => `${join(folder, OWNER)}.lock`

async function tryLock(folder: string): Promise<Lock | null> {
  try {
    return await lockFile(join(folder, OWNER))
  } catch (error) {
    if (error instanceof StoreInUseError) return null
    throw error
  }
}
