import pino from 'pino'
import type { Logger, RequestEntry } from '../../application/ports/telemetry.ts'
import { createOutput } from './output.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

export interface ServiceLog {
  log: Logger
  /** Writes one line for a request, in pino's own form. */
  request(entry: RequestEntry): void
  /** Writes plain text of whole lines, whatever the level. */
  print(text: string): void
  /** Resolves when all that was said is written, or cannot be. */
  drained(): Promise<void>
}

const FLUSH_MS = 250
/** In milliseconds: how long the end of the process waits for a slow reader. */
const DRAIN_MS = 500
const BUFFER = 32 * 1024
/** In characters. A longer line is cut to `CUT` characters of it, as text in a line of its own: at most 12 KiB. */
const LONGEST_LINE = 8 * 1024
const CUT = 4 * 1024
/** Members that must never hold their value in a log line, wherever they come from. */
const SECRET = ['token', 'authorization', 'cookie', 'password', 'secret', 'pepper']
const REDACT = [
  'headers',
  'req.headers',
  'err.body',
  'err.rawBody',
  ...SECRET.flatMap((name) => [name, `*.${name}`]),
]

const FORM = {
  base: undefined,
  timestamp: () => `,"time":"${isoNow()}"`,
  redact: { paths: REDACT, censor: '[redacted]' },
}

/**
 * Lines of JSON on standard output, collected for a quarter of a second: a write for each costs more than the rest of a
 * small request. Whatever becomes of standard output, nobody waits for it.
 */
export function createLog(level: LogLevel): ServiceLog {
  const output = createOutput(1, lossLine)
  let lines = ''
  const handOver = () => {
    if (lines !== '') output.put(lines)
    lines = ''
  }
  const add = (line: string) => {
    lines += line
    if (lines.length > BUFFER) handOver()
  }
  setInterval(handOver, FLUSH_MS).unref()
  process.on('exit', () => output.lastWords(lines))
  const to = pino({ ...FORM, level }, { write: (line) => add(shortened(line)) })
  const writesRequests = to.isLevelEnabled('info')
  return {
    log: {
      ...methodsOf(to),
      linesLost: output.lost,
      bytesWaiting: () => lines.length + output.waiting(),
    },
    request(entry) {
      if (writesRequests) add(requestLine(entry))
    },
    print: add,
    async drained() {
      handOver()
      await output.drained(DRAIN_MS)
    },
  }
}

/** For a host without a log of its own: warnings and errors as lines of JSON on standard error, at once. */
export const createErrorLog = (): Logger =>
  methodsOf(pino({ ...FORM, level: 'warn' }, { write: (line) => void process.stderr.write(shortened(line)) }))

const methodsOf = (to: pino.Logger): Logger => ({
  debug: (fields, message) => to.debug(fields, message),
  info: (fields, message) => to.info(fields, message),
  warn: (fields, message) => to.warn(fields, message),
  error: (fields, message) => to.error(fields, message),
})

/**
 * Written out by hand: walking and redacting an object costs more than authentication does, and here every member is
 * known. All but the account's id are of safe characters, and none is longer than a few hundred of them.
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

const lossLine = (lost: number): string =>
  `{"level":40,"time":"${isoNow()}","lines":${lost},"msg":"log lines lost: standard output did not take them"}\n`

const shortened = (line: string): string => (line.length > LONGEST_LINE ? cutLine(line) : line)

/** Errors repeat what a store said, and that may be of any length. */
const cutLine = (line: string): string =>
  `{"level":${/\d+/.exec(line)?.[0]},"time":"${isoNow()}","length":${line.length},"line":${JSON.stringify(line.slice(0, CUT))}` +
  `,"msg":"a log line was too long and is cut"}\n`

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
