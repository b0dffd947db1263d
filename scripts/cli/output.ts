import type { Io } from './command.ts'

/** How results are written: for people, for programs, for spreadsheets. */

export const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** Control characters, and characters that change the direction of text. Stored text must not control a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]/gu

export const printable = (text: string): string => text.replace(UNPRINTABLE, '\uFFFD')

/** A table for people. Columns are as wide as their widest cell, and numbers stand on the right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [header, ...rows.map((row) => row.map((cell) => printable(String(cell))))]
  const isNumeric = header.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number'))
  const widths = header.map((_, i) => Math.max(...cells.map((row) => lengthOf(row[i] ?? ''))))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => {
        const space = ' '.repeat((widths[i] ?? 0) - lengthOf(cell))
        return isNumeric[i] ? space + cell : cell + space
      })
      .join('  ')
      .trimEnd()
  return cells.map((row) => `${line(row)}\n`).join('')
}

/** The number of code points, which is nearly the width; characters of double width count as one. */
const lengthOf = (text: string): number => [...text].length

/**
 * RFC 4180. Text that a spreadsheet would take for a formula is written with an apostrophe before it; numbers are
 * written as they are.
 */
export const csv = (header: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [header, ...rows].map((row) => `${row.map(csvCell).join(',')}\r\n`).join('')

function csvCell(cell: string | number): string {
  if (typeof cell === 'number') return String(cell)
  const harmless = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}

export interface Progress {
  /** Begins the next step. `noun` names what it counts. Default: event. */
  step(label: string, noun?: string): void
  /**
   * Shows how far this step has come.
   * @param share from 0 to 1; null if it is not known
   * @param count how much is done so far, including what an earlier run has done
   */
  at(share: number | null, count: number): void
  /** Says something beside the bar, as a line of its own. */
  note(text: string): void
  /** Removes the bar. */
  done(): void
}

/** The width of the bar in characters. */
const BAR = 20
const REDRAW_MS = 100
/** Where nobody watches, a line this often says how far it is. */
const LINE_MS = 10_000
/** A rate over less time than this would be meaningless. */
const RATE_AFTER_MS = 500

/** A progress bar on standard error if that is a terminal; otherwise a line now and then. */
export function progress({ terminal, err, now }: Io, steps: number): Progress {
  let begun = 0
  let current = { label: '', noun: '', since: 0, from: 0, fromShare: 0 }
  let drawn = now()
  const everyMs = terminal ? REDRAW_MS : LINE_MS
  const clear = terminal ? '\r\u001B[K' : ''

  function draw(share: number, text: string): void {
    const filled = Math.round(((begun - 1 + share) / steps) * BAR)
    err(terminal ? `${clear}[${'#'.repeat(filled).padEnd(BAR, '-')}] ${text}` : `${text}\n`)
    drawn = now()
  }

  return {
    step(label, noun = 'event') {
      begun = Math.min(begun + 1, steps)
      current = { label, noun, since: now(), from: Number.NaN, fromShare: 0 }
      if (terminal) draw(0, label)
    },
    at(share, count) {
      if (Number.isNaN(current.from)) Object.assign(current, { from: count, fromShare: share ?? 0 })
      if (now() - drawn < everyMs) return
      const parts = [plural(count, current.noun)]
      if (share !== null) parts.unshift(`${Math.floor(share * 100)} %`)
      const milliseconds = now() - current.since
      const rate = ((count - current.from) / milliseconds) * 1000
      if (milliseconds >= RATE_AFTER_MS) {
        parts.push(`${Math.round(rate)}/s`)
        const done = (share ?? 0) - current.fromShare
        if (share !== null && done > 0) parts.push(`${duration((milliseconds / done) * (1 - share))} left`)
      }
      draw(share ?? 0, `${current.label}: ${parts.join(', ')}`)
    },
    note: (text) => err(`${clear}${text}\n`),
    done() {
      if (terminal) err(clear)
    },
  }
}

/** `45 s`, `3 min`, `2 h` */
function duration(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000))
  if (seconds < 90) return `${seconds} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 90 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** `1.5 MiB` */
export function bytes(count: number): string {
  const unit = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(count, 1)) / 10))
  const value = count / 1024 ** unit
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** `1 event`, `2 events` */
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`
