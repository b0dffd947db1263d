import { StoreUnavailableError } from '../../application/ports.ts'
import { DamagedError } from '../../domain/errors.ts'

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
