import { StoreUnavailableError } from '../../application/ports/errors.ts'

export interface LogPosition {
  commit: bigint
  prepare: bigint
}

/** The decimal digits of an unsigned 64-bit number. */
const DIGITS = 20
/** The number that a server gives for an event whose place in the log it does not know. */
const UNKNOWN = 2n ** 64n - 1n

/** The position as text that sorts in log order: commit and prepare, 20 digits each. */
export function toPosition(position: LogPosition | undefined): string {
  if (!position || position.commit === UNKNOWN) {
    throw new StoreUnavailableError(
      'the server gives no log positions: EventStoreDB 23.10 or newer is needed',
    )
  }
  return `${digits(position.commit)}-${digits(position.prepare)}`
}

const SHAPE = /^(\d{20})-(\d{20})$/

/** Has the text the form of a position of this kind of log? */
export const isPosition = (text: string): boolean => SHAPE.test(text)

/** @throws RangeError for text that `toPosition` did not make */
export function fromPosition(position: string): LogPosition {
  const [, commit, prepare] = SHAPE.exec(position) ?? []
  if (commit === undefined || prepare === undefined) {
    throw new RangeError(`${position} is no position of an EventStoreDB log`)
  }
  return { commit: BigInt(commit), prepare: BigInt(prepare) }
}

const digits = (part: bigint): string => part.toString().padStart(DIGITS, '0')
