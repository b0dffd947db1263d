import type { Damage } from '../../src/application/audit/verifyLog.ts'
import type { RefusedEvent } from '../../src/application/projection/refusals.ts'
import { plural, printable } from './output.ts'

/** An event that the read model is without, for people. */
export const refusedText = ({ stream, revision, reason, uses }: RefusedEvent): string =>
  printable(
    `revision ${revision} of ${stream} is refused: ${reason}${uses > 0 ? `, ${plural(uses, 'use')} not counted` : ''}`,
  )

/** One line, for people. The name of a stream may be any text here, since it may be damaged itself. */
export function damageText({ stream, revision, position, what }: Damage): string {
  const place = revision === null ? '' : `revision ${revision} `
  const where = stream === null ? '' : `${stream}: `
  return printable(`${where}${place}${what}${position === null ? '' : ` (position ${position})`}.`)
}
