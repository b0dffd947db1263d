import { statSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { withTemporaryFolder } from './temporaryFolder.ts'
import { WrongUse } from './command.ts'

/** Only the owner may read the file, since it may hold addresses of callers and hashes of tokens. */
const PRIVATE = 0o600

/**
 * Writes a file that gets its name only once all of it is on the disk. Until then, and if `work` throws, an older file
 * of that name stays as it was.
 * @param option the option or argument that gave the path, for the message
 * @throws WrongUse if the path is that of a directory, a device or the like
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
