import type { Damage } from '../src/application/walk.ts'
import { printable } from './output.ts'

/** One line, for people. A name may be anything: it is what was damaged. */
export function damageText({ stream, revision, position, what }: Damage): string {
  const place = revision === null ? '' : `revision ${revision} `
  const where = stream === null ? '' : `${stream}: `
  return printable(`${where}${place}${what}${position === null ? '' : ` (position ${position})`}.`)
}
