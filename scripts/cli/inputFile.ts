import { statSync } from 'node:fs'
import { NotFound, WrongUse } from './command.ts'

/**
 * The size in bytes of a file that will be read twice.
 * @throws NotFound; WrongUse for a pipe, which can be read only once
 */
export function sizeOf(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) throw new NotFound('There is no such file.')
  if (!found.isFile()) throw new WrongUse('<file> must be a file.')
  return found.size
}
