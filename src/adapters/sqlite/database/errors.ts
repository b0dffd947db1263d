import { RefusedChangeError, StoreUnavailableError } from '../../../application/ports/errors.ts'
import { DamagedError } from '../../../domain/errors.ts'

const UNAVAILABLE = new Set([5, 6, 7, 8, 10, 13, 14, 22, 23])
const DAMAGED = new Set([11, 26])
/** Said with a code that means any mistake. */
const MESSAGES_OF_DAMAGE = ['malformed JSON', 'unsupported file format']

const [BUSY, FULL] = [5, 13]
/** What SQLite calls failures to write, to sync, to cut a file and to make room in one. */
const NOT_WRITTEN = new Set([10 | (3 << 8), 10 | (4 << 8), 10 | (6 << 8), 10 | (19 << 8)])

/** Another connection has the file locked: nothing was done, and the same may be tried again. */
export class BusyError extends StoreUnavailableError {}

/** There is no room for what was to be written, or the disk does not take it: nothing was done. */
export class NoRoomError extends StoreUnavailableError {}

/** What either driver throws, in the words of the ports; what is neither outage nor damage stays as it is. */
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

/** One document that is not what was written, in a file that can be read and written all the same. */
export class DamagedDocumentError extends DamagedError {
  override name = 'DamagedDocumentError'
}

const [TOO_BIG, CONSTRAINT, MISMATCH] = [18, 19, 20]
/** How SQLite names the column of a unique index, ids apart. */
const UNIQUE = /UNIQUE constraint failed: \w+\.f_/

/** Does a value stand in more than one row where each needs its own? */
export const isTaken = (error: unknown): boolean =>
  primaryCodeOf(error) === CONSTRAINT && UNIQUE.test((error as Error).message)

/** What a write of changes came to, as the port has it: refused for what is in them, or as it is. */
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

/** The result code of SQLite, whose low byte is the primary one; 0 for errors of any other kind. */
function codeOf(error: unknown): number {
  const { errcode, rawCode, message } = error as { errcode?: unknown; rawCode?: unknown; message?: unknown }
  const code = errcode ?? rawCode
  if (typeof code === 'number') return code
  // libsql gives no code when it cannot open a file, only its number at the end of the text.
  const opening = /^ConnectionFailed\(.*: (\d+)"\)$/s.exec(String(message))
  return Number(opening?.[1] ?? 0)
}

/** The directory could not be made, say. */
const isSystemError = (error: unknown): boolean => (error as { syscall?: unknown }).syscall !== undefined
