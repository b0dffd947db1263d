import { isUuid } from '../../src/domain/uuid.ts'

/** The type of a command of the command line. To add one, add a file to `commands/` and name it in `tokenledger.ts`. */

export interface OptionSpec {
  type: 'string' | 'boolean'
  /** The name of its value in the help. */
  value?: string
  help: string
}

export type Options = Record<string, OptionSpec>

export type Values<O extends Options> = { [K in keyof O]?: O[K]['type'] extends 'boolean' ? boolean : string }

/**
 * 0: fine. 1: the command found something wrong, or found nothing. 3: it could not look, which an unreachable store
 * says by its own error, and `CouldNotLook` says otherwise. For wrong use, throw `WrongUse`, which gives 2.
 */
export type ExitCode = 0 | 1 | 3

export interface Given<O extends Options = Options> {
  /** Each option is given at most once, and none is empty. */
  values: Values<O>
  /** At least as many as the command names, and no more unless it takes more. */
  args: readonly string[]
}

/** All that a command may use of the process. */
export interface Io {
  env: Record<string, string | undefined>
  out(text: string): void
  /** As `out`, but for output of any length. Resolves when the reader takes more. */
  write(text: string): Promise<void>
  err(text: string): void
  /** Is standard error a terminal, so that a person may watch it? */
  terminal: boolean
  /** The present in milliseconds since 1970. */
  now(): number
}

export interface Command<O extends Options = Options> {
  name: string
  /** One line for the list of commands. */
  summary: string
  /** What follows the name of the command: `<token-id> [--at <time|revision>]`. */
  usage: string
  /** All that the summary does not say. */
  help: string
  /** Names of the arguments, all required. */
  args: readonly string[]
  /** May any number of arguments follow those? Default: no. */
  takesMore?: boolean
  options: O
  /** @throws WrongUse, SettingsError: exit code 2; StoreUnavailableError, CouldNotLook: 3; any other error: 1 */
  run(given: Given<O>, io: Io): Promise<ExitCode>
}

/** Infers the types of the option values that `run` gets. */
export const defineCommand = <const O extends Options>(command: Command<O>): Command => command

/** The option of all commands whose output is data. */
export const JSON_OPTION = { type: 'boolean', help: 'Print JSON.' } as const

/** The command was called wrongly. The message must not repeat values, since one may be a secret. */
export class WrongUse extends Error {
  override name = 'WrongUse'
}

/** What the command was asked about does not exist. */
export class NotFound extends Error {
  override name = 'NotFound'
}

/** There was nothing to look at, or no way to look. This does not say what would have been found. */
export class CouldNotLook extends Error {
  override name = 'CouldNotLook'
}

/**
 * Reads the id of a token.
 * @throws WrongUse, without the text, since that may be the token itself, pasted by mistake
 */
export function tokenIdFrom(text: string, name: string): string {
  const id = text.toLowerCase()
  if (!isUuid(id)) throw new WrongUse(`${name} must be the id of a token: a UUID.`)
  return id
}
