import pino from 'pino'
import type { Logger, RequestEntry } from '../../application/ports/telemetry.ts'
import { createOutput } from './output.ts'
import { prettyLine } from './prettyLine.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

export interface ServiceLog {
  log: Logger
  /** Writes one line for a request, in pino's own form. */
  request(entry: RequestEntry): void
  /** Writes plain text, made of whole lines, at any level. */
  print(text: string): void
  /** Resolves when all lines are written, or cannot be. */
  drained(): Promise<void>
}

const FLUSH_MS = 250
/** How long the end of the process waits for a slow reader. */
const DRAIN_MS = 500
/** In characters: more lines than this are not collected any longer, but handed over. */
const BUFFER = 32 * 1024
/**
 * In characters. Of a longer line only the first `CUT` characters are written, as text inside a new line of at most 12
 * KiB.
 */
const LONGEST_LINE = 8 * 1024
const CUT = 4 * 1024
/** Members whose values must never be in a log line, wherever they come from. */
const SECRET = ['token', 'authorization', 'cookie', 'password', 'secret', 'pepper']
const REDACT = ['headers', 'req.headers', ...SECRET.flatMap((name) => [name, `*.${name}`])]

/** Whoever makes an error may hang anything on it, like the URL, the body or the headers that it is about. */
const shownError = (error: Error): object => {
  const { type, message, stack, code } = pino.stdSerializers.err(error)
  return { type, message, stack, code }
}

const FORM = {
  base: undefined,
  serializers: { err: shownError },
  timestamp: () => `,"time":"${isoNow()}"`,
  redact: { paths: REDACT, censor: '[redacted]' },
}

/**
 * Writes lines to standard output: JSON, or what people can read. They are collected for a quarter of a second, since a write for each line
 * would cost more than the rest of a small request. Nobody ever waits for standard output, whatever happens to it.
 */
export function createLog(level: LogLevel, format: 'json' | 'pretty' = 'json'): ServiceLog {
  const shown = format === 'pretty' ? prettyLine : (line: string) => line
  const output = createOutput(1, (lost) => shown(lossLine(lost)))
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
  const to = pino({ ...FORM, level }, { write: (line) => add(shown(shortened(line))) })
  const writesRequests = to.isLevelEnabled('info')
  return {
    log: {
      ...methodsOf(to),
      linesLost: output.lost,
      bytesWaiting: () => lines.length + output.waiting(),
    },
    request(entry) {
      if (writesRequests) add(shown(requestLine(entry)))
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
 * Written out by hand, since serialising and redacting an object would cost more than authentication does, and here
 * every member is known. All but the ids of accounts and of people have only safe characters, and none is longer than a few hundred
 * characters.
 */
function requestLine({ method, route, status, ms, requestId, principal }: RequestEntry): string {
  const who = principal ? whoOf(principal) : ''
  return (
    `{"level":30,"time":"${isoNow()}","method":"${method}","route":"${route}","status":${status}` +
    `,"ms":${ms.toFixed(3)},"requestId":"${requestId}"${who},"msg":"request"}\n`
  )
}

function whoOf(principal: NonNullable<RequestEntry['principal']>): string {
  if (principal.kind === 'operator' || principal.kind === 'client')
    return `,"kind":"${principal.kind}","subject":${JSON.stringify(principal.subject)}`
  const { kind, accountId, tokenId } = principal
  const token = tokenId === undefined ? '' : `,"tokenId":"${tokenId}"`
  return `,"kind":"${kind}","accountId":${JSON.stringify(accountId)}${token}`
}

const lossLine = (lost: number): string =>
  `{"level":40,"time":"${isoNow()}","lines":${lost},"msg":"log lines lost: standard output did not take them"}\n`

const shortened = (line: string): string => (line.length > LONGEST_LINE ? cutLine(line) : line)

/** The start of a line that is too long. Lines may have any length, since errors quote messages of stores. */
const cutLine = (line: string): string =>
  `{"level":${/\d+/.exec(line)?.[0]},"time":"${isoNow()}","length":${line.length},"line":${JSON.stringify(line.slice(0, CUT))}` +
  `,"msg":"a log line was too long and is cut"}\n`

let lastSecond = 0
let textOfSecond = ''

/** The present as RFC 3339 text. What comes before the milliseconds is made once a second. */
function isoNow(): string {
  const now = Date.now()
  const second = Math.floor(now / 1000)
  if (second !== lastSecond) {
    lastSecond = second
    textOfSecond = new Date(now).toISOString().slice(0, -4)
  }
  return `${textOfSecond}${String(now - second * 1000).padStart(3, '0')}Z`
}
