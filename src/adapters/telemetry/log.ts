import pino, { type Logger as Pino } from 'pino'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

export interface ServiceLog extends Pino {
  /** Writes what is buffered, at once. */
  drain(): void
}

const FLUSH_MS = 250
/** Members that must never hold their value in a log line, wherever they come from. */
const SECRET = ['token', 'authorization', 'cookie', 'password', 'secret', 'pepper']
const REDACT = ['headers', 'req.headers', 'err.body', 'err.rawBody', ...SECRET.flatMap((name) => [name, `*.${name}`])]

/**
 * Lines of JSON on standard output. Buffered: a synchronous write costs more than the rest of a small request. Lines
 * of level error and above are written at once.
 */
export function createLog(level: LogLevel): ServiceLog {
  const destination = pino.destination({ fd: 1, sync: false, minLength: 8192 })
  const log = pino(
    {
      level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACT, censor: '[redacted]' },
      hooks: {
        logMethod(args, method, number) {
          method.apply(this, args)
          if (number >= 50) drain()
        },
      },
    },
    destination,
  )
  function drain(): void {
    try {
      destination.flushSync()
    } catch {
      // Not open yet, or a reader that is gone: there is nowhere else to say so.
    }
  }
  setInterval(() => destination.flush(), FLUSH_MS).unref()
  return Object.assign(log, { drain })
}
