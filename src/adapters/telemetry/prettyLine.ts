import pino from 'pino'

const { labels } = pino.levels

/**
 * A line of the log for people: `12:00:00.123 INFO  listening  url=http://127.0.0.1:3000`. It is for development only,
 * and so small that a package with a dozen others behind it would not pay.
 */
export function prettyLine(line: string): string {
  const { level, time, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>
  const name = (labels[Number(level)] ?? '').toUpperCase().padEnd(5)
  const fields = Object.entries(rest).map(([field, value]) => `  ${field}=${plain(value)}`)
  const { stack, message = '' } = (err ?? {}) as { stack?: string; message?: string }
  // A stack has several lines. Its text may come from a store, so nothing in it may move the cursor.
  const trace = (stack ?? message)
    .split('\n')
    .filter((one) => one !== '')
    .map((one) => `\n    ${one.replace(/\p{Cc}/gu, ' ').trim()}`)
  return `${String(time).slice(11, 23)} ${name} ${String(msg)}${fields.join('')}${trace.join('')}\n`
}

/** Text as it is, where it has neither spaces nor anything that a terminal would obey. */
const plain = (value: unknown): string =>
  typeof value === 'string' && /^[\p{L}\p{N}\p{P}\p{S}]+$/u.test(value)
    ? value
    : // Of the control characters, JSON escapes only the first 32.
      (JSON.stringify(value) ?? 'none').replace(/\p{Cc}/gu, ' ')
