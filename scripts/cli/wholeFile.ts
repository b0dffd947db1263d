import { statSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { withTemporaryFolder } from './temporaryFolder.ts'
import { WrongUse } from './command.ts'

/** Whoever may read the events' addresses and hashes of tokens, others must not. */
const PRIVATE = 0o600

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
  return withTemporaryFolder(`${resolve(path)}.tmp-`, async (folder) => {
    const temporary = join(folder, 'content')
    const file = await open(temporary, 'wx', PRIVATE)
    try {
      const result = await work((text) => file.appendFile(text))
      await file.sync()
      await rename(temporary, path)
      return result
    } finally {
      await file.close()
    }
  })
}
