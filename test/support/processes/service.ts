import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PEPPERS, SECRET } from './ledger.ts'

export const MAIN = fileURLToPath(new URL('../../../src/main.js', import.meta.url))

/** A member that is undefined removes the setting from the environment. */
export type Environment = Record<string, string | undefined>

export interface ServiceProcess {
  child: ChildProcess
  url: string
  folder: string
  /** Everything it has written so far. */
  output(): string
  signal(signal: NodeJS.Signals): void
  /** Sends SIGTERM, and resolves with the exit code. */
  stop(): Promise<number | null>
  /** Sends SIGKILL, and resolves when the process has ended. */
  kill(): Promise<void>
  /** Exit code, or null after a kill. */
  exited: Promise<number | null>
}

/** A start that takes longer than this is ended. In milliseconds. */
const HANGS_MS = 90_000

const started = new Set<ChildProcess>()
const folders = new Set<string>()

/** Kills every service that is running or starting. */
export async function killServices(): Promise<void> {
  const running = [...started].filter((child) => child.exitCode === null && child.signalCode === null)
  await Promise.all(
    running.map((child) => {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      return gone
    }),
  )
  started.clear()
}

/** For `afterEach`: ends whatever a test has left. */
export async function endServices(): Promise<void> {
  await killServices()
  await Promise.all([...folders].map((folder) => rm(folder, { recursive: true, force: true })))
  folders.clear()
}

/** An empty folder that `endServices` removes. */
export async function ownFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
  folders.add(folder)
  return folder
}

/** The real service as a process of its own, in a folder of its own, on a free port. Resolves when it listens. */
export async function startService(
  env: Environment = {},
  folder?: string,
  command: readonly string[] = [process.execPath, MAIN],
): Promise<ServiceProcess> {
  const cwd = folder ?? (await ownFolder())
  const child = launch(env, cwd, command)
  let output = ''
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString()
      const [, found] =
        /"url":"(http:[^"]+)"/.exec(output) ?? /listening on (http:\S+) with/.exec(output) ?? []
      if (found) resolve(found)
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    void exited.then((code) => reject(new Error(`the service ended with ${code}: ${output}`)))
  })
  return {
    child,
    url,
    folder: cwd,
    output: () => output,
    signal: (signal) => child.kill(signal),
    stop() {
      child.kill('SIGTERM')
      return exited
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    exited,
  }
}

export interface EndedService {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs a start that is expected to fail, to its end. */
export async function failingService(
  env: Environment,
  folder: string,
  command: readonly string[] = [process.execPath, MAIN],
): Promise<EndedService> {
  const child = launch(env, folder, command)
  const text = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk: Buffer) => (text.stdout += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (text.stderr += chunk.toString()))
  const late = setTimeout(() => child.kill('SIGKILL'), HANGS_MS)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearTimeout(late)
  return { code, ...text }
}

function launch(env: Environment, cwd: string, [program = '', ...args]: readonly string[]): ChildProcess {
  const child = spawn(program, args, {
    cwd,
    env: {
      PATH: process.env.PATH,
      NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE,
      PORT: '0',
      JWT_SECRET: SECRET,
      TOKEN_PEPPERS: PEPPERS,
      RATE_LIMIT_WRITES_PER_MINUTE: '0',
      RATE_LIMIT_FAILURES_PER_MINUTE: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.add(child)
  return child
}
