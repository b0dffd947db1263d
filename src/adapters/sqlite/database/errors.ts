import { RefusedChangeError, StoreUnavailableError } from '../../../application/ports/errors.ts'
import { DamagedError } from '../../../domain/errors.ts'

/** Primary result codes of SQLite for outages. */
const UNAVAILABLE = new Set([5, 6, 7, 8, 10, 13, 14, 22, 23])
/** Primary result codes of SQLite for files that are damaged, or are no database. */
const DAMAGED = new Set([11, 26])
/** Messages of damage that come with the general error code. */
const MESSAGES_OF_DAMAGE = ['malformed JSON', 'unsupported file format']

const [BUSY, FULL] = [5, 13]
/** Extended codes of SQLite for failures to write, to sync, to truncate a file, and to reserve space in one. */
const NOT_WRITTEN = new Set([10 | (3 << 8), 10 | (4 << 8), 10 | (6 << 8), 10 | (19 << 8)])

/** Another connection has locked the file. Nothing was done, so the same can be tried again. */
export class BusyError extends StoreUnavailableError {}

/** There was no room for a write, or the disk refused it. Nothing was done. */
export class NoRoomError extends StoreUnavailableError {}

/**
 * Translates an error of either driver into one of the port. An error that is neither outage nor damage stays as it is.
 */
export function translate(error: unknown, path: string): unknown {
  const extended = codeOf(error)
  const code = extended & 0xff
  const message = error instanceof Error ? error.message : String(error)
  if (DAMAGED.has(code) || MESSAGES_OF_DAMAGE.some((text) => message.includes(text))) {
    return new DamagedError(`${path}: ${message}`, { cause: error })
  }
  if (code === BUSY) return new BusyError(`${path}: ${message}`, { cause: error })
  if (code === FULL || NOT_WRITTEN.has(extended))
    return new NoRoomError(`${path}: ${message}`, { cause: error })
  if (UNAVAILABLE.has(code) || isSystemError(error)) {
    return new StoreUnavailableError(`${path}: ${message}`, { cause: error })
  }
  return error
}

/** One document is not what was written, but the rest of the file can be read and written. */
export class DamagedDocumentError extends DamagedError {
  override name = 'DamagedDocumentError'
}

const [TOO_BIG, CONSTRAINT, MISMATCH] = [18, 19, 20]
/** How SQLite names the column of a unique index; indexes of ids do not match. */
const UNIQUE = /UNIQUE constraint failed: \w+\.f_/

/** Did a write fail since another row has the same value in a unique column? */
export const isTaken = (error: unknown): boolean =>
  primaryCodeOf(error) === CONSTRAINT && UNIQUE.test((error as Error).message)

/** Translates an error of applying changes: into a refusal, if it is due to what is in them. */
export function toRefusal(error: unknown): unknown {
  const code = primaryCodeOf(error)
  if (isTaken(error)) return refused('taken', 'another document has a value that is unique', error)
  if (error instanceof DamagedDocumentError) return refused('refused', 'its document is damaged', error)
  if (code === TOO_BIG || code === CONSTRAINT || code === MISMATCH)
    return refused('refused', `SQLite refuses it: code ${code}`, error)
  return error
}

const refused = (kind: RefusedChangeError['kind'], what: string, cause: unknown): RefusedChangeError =>
  new RefusedChangeError(kind, what, { cause })

const primaryCodeOf = (error: unknown): number => codeOf(error) & 0xff

/** The extended result code of SQLite, whose low byte is the primary code; 0 for any other error. */
function codeOf(error: unknown): number {
  const { errcode, rawCode, message } = error as { errcode?: unknown; rawCode?: unknown; message?: unknown }
  const code = errcode ?? rawCode
  if (typeof code === 'number') return code
  // When libsql cannot open a file, the code is only at the end of the message.
  const opening = /^ConnectionFailed\(.*: (\d+)"\)$/s.exec(String(message))
  return Number(opening?.[1] ?? 0)
}

/** An error of the file system, for example if the directory cannot be made. */
const isSystemError = (error: unknown): boolean => (error as { syscall?: unknown }).syscall !== undefined
