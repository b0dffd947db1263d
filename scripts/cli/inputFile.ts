import { statSync } from 'node:fs'
import { NotFound, WrongUse } from './command.ts'

/** Bytes of a file that is read twice. @throws NotFound; WrongUse for what can be read once only */
export function sizeOf(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) throw new NotFound('There is no such file.')
  if (!found.isFile()) throw new WrongUse('<file> must be a file.')
  return found.size
}
