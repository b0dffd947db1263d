/** What a command of the command line is. To add one: add a file to `commands/` and name it in `tokenledger.ts`. */

export interface OptionSpec {
  type: 'string' | 'boolean'
  /** What the help calls its value. */
  value?: string
  help: string
}

export type Options = Record<string, OptionSpec>

export type Values<O extends Options> = { [K in keyof O]?: O[K]['type'] extends 'boolean' ? boolean : string }

/**
 * 0 fine, 1 found something wrong or found nothing. For wrong use, throw `WrongUse`: 2. 3 is for what could not be looked
 * at: a store that cannot be reached, by its own error, or `CouldNotLook`.
 */
export type ExitCode = 0 | 1 | 3

export interface Given<O extends Options = Options> {
  /** Each option at most once, none of them empty. */
  values: Values<O>
  /** As many as the command names. */
  args: readonly string[]
}

/** The process, as far as a command may know it. */
export interface Io {
  env: Record<string, string | undefined>
  out(text: string): void
  /** As `out`, for output of any length: resolves when the reader takes more. */
  write(text: string): Promise<void>
  err(text: string): void
  /** A person watches standard error. */
  terminal: boolean
  /** Milliseconds since 1970. */
  now(): number
}

export interface Command<O extends Options = Options> {
  name: string
  /** One line for the list of commands. */
  summary: string
  /** What follows the name: `<token-id> [--at <time|revision>]`. */
  usage: string
  /** What the one line does not say. */
  help: string
  /** Names of the arguments, all required. */
  args: readonly string[]
  options: O
  /** @throws WrongUse, SettingsError: exit code 2; StoreUnavailableError, CouldNotLook: 3; any other error: 1 */
  run(given: Given<O>, io: Io): Promise<ExitCode>
}

/** Infers the types of the option values that `run` gets. */
export const defineCommand = <const O extends Options>(command: Command<O>): Command => command

/** Standard for commands with output. */
export const JSON_OPTION = { type: 'boolean', help: 'Print JSON.' } as const

/** The command was not called as it is meant to be. The message must not repeat values: one may be a secret. */
export class WrongUse extends Error {
  override name = 'WrongUse'
}

/** What was asked for is not there. */
export class NotFound extends Error {
  override name = 'NotFound'
}

/** There was nothing to look at, or no way to: this says nothing of what would have been found. */
export class CouldNotLook extends Error {
  override name = 'CouldNotLook'
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** @throws WrongUse where it is no id; the text may be the token itself, pasted by mistake */
export function tokenIdFrom(text: string, name: string): string {
  if (!UUID.test(text)) throw new WrongUse(`${name} must be the id of a token: a UUID.`)
  return text.toLowerCase()
}
