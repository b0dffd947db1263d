import pino, { type Logger as Pino } from 'pino'
import type { RequestEntry } from '../../application/ports.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

export interface ServiceLog {
  log: Pino
  /** Writes one line for a request, in pino's own form. */
  request(entry: RequestEntry): void
  /** Writes what is buffered, at once. */
  drain(): void
}

const FLUSH_MS = 250
const BUFFER = 32 * 1024
/** Members that must never hold their value in a log line, wherever they come from. */
const SECRET = ['token', 'authorization', 'cookie', 'password', 'secret', 'pepper']
const REDACT = [
  'headers',
  'req.headers',
  'err.body',
  'err.rawBody',
  ...SECRET.flatMap((name) => [name, `*.${name}`]),
]

/**
 * Lines of JSON on standard output, buffered for a quarter of a second: a synchronous write costs more than the rest
 * of a small request.
 */
export function createLog(level: LogLevel): ServiceLog {
  const destination = pino.destination({ fd: 1, sync: false, minLength: 8192 })
  const log = pino(
    {
      level,
      base: undefined,
      timestamp: () => `,"time":"${isoNow()}"`,
      redact: { paths: REDACT, censor: '[redacted]' },
    },
    destination,
  )
  // Collected here first: the destination measures all it holds again with every line that it is given.
  let lines = ''
  const handOver = () => {
    if (lines !== '') destination.write(lines)
    lines = ''
  }
  const drain = () => {
    try {
      handOver()
      destination.flushSync()
    } catch {
      // Not open yet, or a reader that is gone: there is nowhere else to say so.
    }
  }
  const flush = () => {
    handOver()
    destination.flush()
  }
  setInterval(flush, FLUSH_MS).unref()
  process.on('exit', drain)
  const writesRequests = log.isLevelEnabled('info')
  return {
    log,
    request(entry) {
      if (!writesRequests) return
      lines += requestLine(entry)
      if (lines.length > BUFFER) handOver()
    },
    drain,
  }
}

/**
 * Written out by hand: walking and redacting an object costs more than authentication does, and here every member is
 * known. All but the account's id are of safe characters.
 */
function requestLine({ method, route, status, ms, requestId, principal }: RequestEntry): string {
  const who = principal
    ? `,"kind":"${principal.kind}","accountId":${JSON.stringify(principal.accountId)}` +
      (principal.tokenId === undefined ? '' : `,"tokenId":"${principal.tokenId}"`)
    : ''
  return (
    `{"level":30,"time":"${isoNow()}","method":"${method}","route":"${route}","status":${status}` +
    `,"ms":${ms.toFixed(3)},"requestId":"${requestId}"${who},"msg":"request"}\n`
  )
}

let lastMillis = 0
let lastIso = ''

/** The present as text, made once a millisecond. */
function isoNow(): string {
  const millis = Date.now()
  if (millis !== lastMillis) {
    lastMillis = millis
    lastIso = new Date(millis).toISOString()
  }
  return lastIso
}
