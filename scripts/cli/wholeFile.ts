import { statSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CouldNotLook, WrongUse } from './command.ts'
import { NoFolderError, withTemporaryFolder } from './temporaryFolder.ts'

/** Only the owner may read the file, since it may hold addresses of callers and hashes of tokens. */
const PRIVATE = 0o600

/**
 * Writes a file that gets its name only once all of it is on the disk. Until then, and if `work` throws, an older file
 * of that name stays as it was.
 * @param option the option or argument that gave the path, for the message
 * @throws WrongUse if the path is that of a directory, a device or the like; CouldNotLook if it cannot be written;
 *   what `work` throws
 */
export async function writeWhole<T>(
  path: string,
  option: string,
  work: (write: (text: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  async function writing<U>(step: () => U | Promise<U>): Promise<U> {
    try {
      return await step()
    } catch (error) {
      throw unwritable(option, error)
    }
  }

  async function writeIn(folder: string): Promise<T> {
    const temporary = join(folder, 'content')
    const file = await writing(() => open(temporary, 'wx', PRIVATE))
    try {
      const result = await work((text) => writing(() => file.appendFile(text)))
      await writing(() => file.sync())
      await writing(() => rename(temporary, path))
      return result
    } finally {
      await file.close()
    }
  }

  const found = await writing(() => statSync(path, { throwIfNoEntry: false }))
  if (found?.isFile() === false) throw new WrongUse(`${option} must name a file.`)
  try {
    return await withTemporaryFolder(`${resolve(path)}.tmp-`, writeIn)
  } catch (error) {
    throw error instanceof NoFolderError ? unwritable(option, error) : error
  }
}

const unwritable = (option: string, cause: unknown): CouldNotLook => {
  const { code } = cause as NodeJS.ErrnoException
  return new CouldNotLook(`${option} names a file that cannot be written (${code}).`, { cause })
}
