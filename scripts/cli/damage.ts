import type { Damage } from '../../src/application/audit/verifyLog.ts'
import type { RefusedEvent } from '../../src/application/projection/refusals.ts'
import type { Flaw } from '../../src/application/eventLog/soundEvents.ts'
import { tokenStream } from '../../src/domain/streams.ts'
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

export const UNKNOWN_THEN =
  'What the token was then cannot be told: the part of its history that would say is damaged.'

/** A part of a token's history that cannot be shown. */
export function flawText(tokenId: string, { from, to, what }: Flaw): string {
  const which = to > from ? `revisions ${from} to ${to}` : `revision ${from}`
  return printable(`${which} of ${tokenStream(tokenId)}: ${what}.`)
}
