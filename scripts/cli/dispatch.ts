import { parseArgs } from 'node:util'
import { SettingsError } from '../../src/settings/settings.ts'
import { version } from '../../src/version.ts'
import { StoreUnavailableError, UnknownOutcomeError } from '../../src/application/ports/errors.ts'
import { type Command, CouldNotLook, type Given, type Io, type OptionSpec, WrongUse } from './command.ts'

const FINE = 0
const FOUND = 1
const WRONG_USE = 2
const NOT_LOOKED = 3
const EXIT_CODES =
  'Exit codes: 0 fine, 1 found something wrong or found nothing, 2 wrong use, 3 could not look (no store, or none that answers).'

const COULD_NOT = [StoreUnavailableError, UnknownOutcomeError, CouldNotLook]

const HELP: OptionSpec = { type: 'boolean', help: 'Show this.' }

/**
 * Finds the command, reads its options, runs it, and reports errors on standard error.
 * @param argv the arguments that follow the program's name
 * @returns the exit code: 0 fine, 1 found something wrong or found nothing, 2 wrong use, 3 could not look
 */
export async function dispatch(
  argv: readonly string[],
  commands: readonly Command[],
  io: Io,
): Promise<number> {
  const [name, ...rest] = argv
  if (name === '--help' || name === '-h' || name === 'help') {
    io.out(overview(commands))
    return FINE
  }
  if (name === '--version') {
    io.out(`${version}\n`)
    return FINE
  }
  const command = commands.find((known) => known.name === name)
  if (!command) {
    io.err(
      `${name === undefined ? 'No command given.' : `Unknown command${quoted(name)}.`}\n\n${overview(commands)}`,
    )
    return WRONG_USE
  }
  try {
    if (wantsHelp(rest)) {
      io.out(helpOf(command))
      return FINE
    }
    return await command.run(parse(command, rest), io)
  } catch (error) {
    const isWrong = error instanceof WrongUse
    io.err(`${error instanceof Error ? error.message : String(error)}\n`)
    if (isWrong) io.err(`See tokenledger ${command.name} --help\n`)
    if (isWrong || error instanceof SettingsError) return WRONG_USE
    return COULD_NOT.some((kind) => error instanceof kind) ? NOT_LOOKED : FOUND
  }
}

/** An unknown name is shown only if it looks like a command, since it may be any text, even a token. */
const quoted = (name: string): string => (/^[a-z-]{1,20}$/.test(name) ? ` '${name}'` : '')

function wantsHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')
}

/** @throws WrongUse */
function parse({ args, options, takesMore = false }: Command, argv: readonly string[]): Given {
  const { values, positionals, tokens } = parseStrictly(options, argv)
  const seen = new Set<string>()
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    if (seen.has(token.name)) throw new WrongUse(`--${token.name} must be given once.`)
    if (token.value === '') throw new WrongUse(`--${token.name} must not be empty.`)
    seen.add(token.name)
  }
  const missing = args[positionals.length]
  if (missing !== undefined) throw new WrongUse(`${missing} is missing.`)
  if (positionals.length > args.length && !takesMore) throw new WrongUse('Too many arguments.')
  return { values: values as Given['values'], args: positionals }
}

function parseStrictly(options: Command['options'], argv: readonly string[]) {
  const config = Object.fromEntries(Object.entries(options).map(([name, { type }]) => [name, { type }]))
  try {
    return parseArgs({ args: [...argv], options: config, allowPositionals: true, strict: true, tokens: true })
  } catch (error) {
    // The first sentence names the option. The rest is advice that does not apply here.
    throw new WrongUse(`${(error as Error).message.split(/[.\n]/)[0]}.`)
  }
}

const overview = (commands: readonly Command[]): string => `Usage: tokenledger <command> [options]

Commands:
${aligned(commands.map(({ name, summary }) => [name, summary]))}
Settings come from the environment, as for the service. tokenledger <command> --help says more.
${EXIT_CODES}
`

const helpOf = ({
  name,
  usage,
  summary,
  help,
  options,
}: Command): string => `Usage: ${['tokenledger', name, usage].join(' ').trimEnd()}

${summary}${help === '' ? '' : `\n${help}`}

Options:
${aligned(Object.entries({ ...options, help: HELP }).map(([option, spec]) => [`--${option}${valueOf(spec)}`, spec.help]))}
${EXIT_CODES}
`

const valueOf = ({ value }: OptionSpec): string => (value === undefined ? '' : ` ${value}`)

function aligned(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}
