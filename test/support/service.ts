import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PEPPERS, SECRET } from './ledger.ts'

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))

export interface ServiceProcess {
  child: ChildProcess
  url: string
  folder: string
  /** Everything it has written so far. */
  output(): string
  signal(signal: NodeJS.Signals): void
  /** Exit code, or null after a kill. */
  exited: Promise<number | null>
}

/** The real service as a process of its own, in a folder of its own, on a free port. Resolves when it listens. */
export async function startService(
  env: Record<string, string> = {},
  folder?: string,
  command: readonly string[] = [process.execPath, MAIN],
): Promise<ServiceProcess> {
  const cwd = folder ?? (await mkdtemp(join(tmpdir(), 'tokenledger-')))
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    cwd,
    env: {
      PATH: process.env.PATH,
      ...(process.env.NODE_V8_COVERAGE ? { NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE } : {}),
      PORT: '0',
      JWT_SECRET: SECRET,
      TOKEN_PEPPERS: PEPPERS,
      RATE_LIMIT_WRITES_PER_MINUTE: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString()
      const [, found] = /"url":"(http:[^"]+)"/.exec(output) ?? /listening on (http:\S+)/.exec(output) ?? []
      if (found) resolve(found)
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    void exited.then((code) => reject(new Error(`the service ended with ${code}: ${output}`)))
  })
  return { child, url, folder: cwd, output: () => output, signal: (signal) => child.kill(signal), exited }
}
