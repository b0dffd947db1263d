import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Lock, lockFile } from '../../src/adapters/sqlite/database/lock.ts'
import { StoreInUseError } from '../../src/application/ports/errors.ts'
import { CouldNotLook } from './command.ts'

/** The signals that end a process by default: from a supervisor, from a key, or when its terminal is closed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const
/** The name of a locked file. The operating system releases the lock when the process ends, in whatever way. */
const OWNER = 'owner'
const ATTEMPTS = 5
/** The characters that `mkdtemp` adds to a prefix. */
const MADE = /^[A-Za-z0-9]{6}$/

/** No folder could be made at that place: it is missing, full, or not this user's. */
export class NoFolderError extends CouldNotLook {
  override name = 'NoFolderError'
  readonly code: string | undefined

  constructor(parent: string, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException
    super(`No temporary folder can be made in ${parent} (${code}).`, { cause })
    this.code = code
  }
}

/**
 * Makes a folder for files that nobody else may read. It is removed at the end of `work`, and also when the process
 * ends or gets a signal. A folder that is left after `kill -9` is removed by the next call with the same prefix.
 * @param prefix the beginning of the folder's path
 * @throws NoFolderError; what `work` throws
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

/** @throws NoFolderError */
function within<T>(prefix: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new NoFolderError(dirname(prefix), error)
  }
}

/** Has `remove` called before the process ends. @returns a function that undoes this */
function beforeTheEnd(remove: () => void): () => void {
  // After removing the folder, the process is ended as the signal would have ended it.
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

/**
 * Makes a folder and locks it.
 * @param made gets the path as soon as the folder exists, so that it is removed in any case
 */
async function makeOwned(prefix: string, made: string[]): Promise<Lock> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    // `mkdtemp` gives it mode 0700.
    const folder = within(prefix, () => mkdtempSync(prefix))
    made.push(folder)
    const lock = await tryLock(folder)
    // Before it was locked, another process may have taken it for an abandoned folder, and removed it.
    if (lock && existsSync(lockOf(folder))) return lock
    lock?.release()
  }
  throw new Error(`${dirname(prefix)}: no folder could be made`)
}

async function clearAbandoned(prefix: string): Promise<void> {
  const [parent, start] = [dirname(prefix), basename(prefix)]
  for (const name of within(prefix, () => readdirSync(parent))) {
    const folder = join(parent, name)
    if (!name.startsWith(start) || !MADE.test(name.slice(start.length)) || !isOwn(folder)) continue
    const lock = await tryLock(folder)
    if (!lock) continue
    rmSync(folder, { recursive: true, force: true })
    lock.release()
  }
}

/**
 * Was the folder made by this function? One of another user may be a trap, and one without a lock file is something
 * else.
 */
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
