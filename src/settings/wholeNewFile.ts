import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

/** The error codes of file systems without hard links. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

/**
 * Makes a file that only its owner can read. It gets its name only when all of it is on the disk, so a full disk or a
 * kill leaves no incomplete file. If two processes make it at once, one makes it and the other finds it.
 * @returns false if there is one already, which stays as it is
 */
export function makeWholeFile(file: string, text: string): boolean {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  if (existsSync(file)) return false
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    writeAll(temporary, text)
    return giveName(temporary, file)
  } finally {
    rmSync(temporary, { force: true })
  }
}

function writeAll(path: string, text: string): void {
  const file = openSync(path, 'wx', 0o600)
  try {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function giveName(temporary: string, file: string): boolean {
  try {
    linkSync(temporary, file)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (!NO_LINKS.includes(String(code))) throw error
    renameSync(temporary, file)
    return true
  }
}
