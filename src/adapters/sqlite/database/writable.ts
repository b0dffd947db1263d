import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'

const REASONS: Record<string, string> = {
  EACCES: 'this process has no permission to write it',
  EPERM: 'this process has no permission to write it',
  EROFS: 'its file system is read-only',
}

/**
 * To be asked before a writer opens a database: SQLite opens what cannot be written for reading, and says so at the first
 * write only. Its folder has to take what SQLite makes beside it; one that is not there yet will be made.
 * @throws StoreUnavailableError naming the file, or the folder
 */
export function assertWritable(path: string): void {
  if (isFolder(path)) throw new StoreUnavailableError(`${path} is a folder, and not a file`)
  for (const file of [path, `${path}-wal`, `${path}-shm`, existingFolderOf(path)]) {
    try {
      accessSync(file, constants.W_OK)
    } catch (error) {
      const reason = REASONS[String((error as NodeJS.ErrnoException).code)]
      // What is not there yet is made, or its folder says why not.
      if (reason !== undefined) throw new StoreUnavailableError(`${file} cannot be written: ${reason}`)
    }
  }
}

/** False also for what cannot be looked at. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

function existingFolderOf(path: string): string {
  const folder = dirname(path)
  return existsSync(folder) || folder === dirname(folder) ? folder : existingFolderOf(folder)
}
