import { accessSync, constants, type Stats, statSync } from 'node:fs'
import { WrongUse } from './command.ts'

/**
 * The size in bytes of a file that is about to be read.
 * @param name the option or argument that gave the path, for the message, which never shows the path itself
 * @throws WrongUse for what is no file or cannot be read; for a pipe, too, since some files are read twice
 */
export function sizeOf(path: string, name: string): number {
  let found: Stats
  try {
    found = statSync(path)
    if (found.isFile()) accessSync(path, constants.R_OK)
  } catch (error) {
    throw unreadable(name, error)
  }
  if (!found.isFile()) throw new WrongUse(`${name} must name a file.`)
  return found.size
}

export const unreadable = (name: string, error: unknown): WrongUse =>
  new WrongUse(`${name} names a file that cannot be read (${(error as NodeJS.ErrnoException).code}).`)
