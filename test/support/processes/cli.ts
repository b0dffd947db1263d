import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { PEPPERS, SECRET } from './ledger.ts'
import type { Environment } from './service.ts'

export const CLI = fileURLToPath(new URL('../../../scripts/tokenledger.js', import.meta.url))

/** A command that takes longer than this is ended. */
const HANGS_MS = 90_000

export interface CliResult {
  code: number | null
  stdout: string
  stderr: string
}

/**
 * Runs `tokenledger <args>` in a folder, with the settings of `startService` if no others are given.
 * @param prefix a program that starts it, with that program's own arguments
 */
export function cli(
  args: readonly string[],
  folder: string,
  env: Environment = {},
  prefix: readonly string[] = [],
): Promise<CliResult> {
  const [program, ...rest] = [...prefix, process.execPath, CLI, ...args] as [string, ...string[]]
  const child = spawn(program, rest, { ...processOf(folder, env), timeout: HANGS_MS })
  const result = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (result.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (result.stderr += chunk.toString()))
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...result })))
}

const processOf = (folder: string, env: Environment) => ({
  cwd: folder,
  env: {
    PATH: process.env.PATH,
    NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE,
    JWT_SECRET: SECRET,
    TOKEN_PEPPERS: PEPPERS,
    ...env,
  },
  stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'],
})

/** Starts a command that is to be killed. @returns a function that kills it, and resolves when it has ended */
export function cliToKill(
  args: readonly string[],
  folder: string,
  env: Environment = {},
): () => Promise<void> {
  const child = spawn(process.execPath, [CLI, ...args], { ...processOf(folder, env), stdio: 'ignore' })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return () => {
    child.kill('SIGKILL')
    return gone
  }
}

/** Runs a command whose reader goes away after the first bytes, as in `| head -c 1`. */
export function cliCutOff(args: readonly string[], folder: string): Promise<CliResult> {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, JWT_SECRET: SECRET, TOKEN_PEPPERS: PEPPERS },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: HANGS_MS,
  })
  child.stdout.destroy()
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout: '', stderr })))
}
