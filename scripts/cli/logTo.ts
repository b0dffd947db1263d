import type { Io } from './command.ts'
import { printable } from './output.ts'

/** A log on standard error. It shows warnings and errors, such as refused events, which are in no document. */
export function logTo({ err }: Io) {
  const line = (fields: object, message: string): void =>
    err(`${message}: ${printable(JSON.stringify(fields))}\n`)
  return { debug() {}, info() {}, warn: line, error: line }
}
