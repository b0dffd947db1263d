import { randomBytes } from 'node:crypto'
import { rmSync, statSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { WrongUse } from './command.ts'

/** Whoever may read the events' addresses and hashes of tokens, others must not. */
const PRIVATE = 0o600
const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/**
 * Writes a file that has its name only when all of it is on the disk; until then, and if `work` throws, whatever had
 * the name before stays.
 * @param option what the path was given as
 * @throws WrongUse the path is a directory, a device or the like
 */
export async function writeWhole<T>(
  path: string,
  option: string,
  work: (write: (text: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) {
    throw new WrongUse(`${option} must name a file.`)
  }
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(temporary, 'wx', PRIVATE)
  const stop = removedOnSignal(temporary)
  try {
    const result = await work((text) => file.appendFile(text))
    await file.sync()
    await file.close()
    await rename(temporary, path)
    return result
  } catch (error) {
    rmSync(temporary, { force: true })
    await file.close()
    throw error
  } finally {
    stop()
  }
}

/** Ends the process as the signal would have, without the file. @returns takes that back */
function removedOnSignal(path: string): () => void {
  const end = (signal: NodeJS.Signals): void => {
    rmSync(path, { force: true })
    process.kill(process.pid, signal)
  }
  for (const signal of SIGNALS) process.once(signal, end)
  return () => {
    for (const signal of SIGNALS) process.off(signal, end)
  }
}
