import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { StandInOptions } from './standIn.ts'
import { DEFAULT_VERSION } from './version.ts'

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url))

export interface StandInProcess {
  /** For `openEventStoreDb` and `EVENT_STORE_URL`. */
  url: string
  port: number
  child: ChildProcess
  /** SIGSTOP: it takes connections and never answers. */
  freeze(): void
  thaw(): void
  /** One command of `main.ts`; resolves when it is obeyed. */
  command(line: string): Promise<void>
  /** `kill -9`, and resolves when it is gone, with everything it kept. */
  kill(): Promise<void>
}

/**
 * The stand-in as a process of its own, to be frozen by SIGSTOP and killed. It ends with the process that started it.
 * @throws Error if it ends before it serves, as it does where the log in `folder` is to be cut off
 */
export async function startStandInProcess({
  port = 0,
  behave = DEFAULT_VERSION,
  folder,
}: Pick<StandInOptions, 'port' | 'behave' | 'folder'> = {}): Promise<StandInProcess> {
  const args = ['--port', String(port), '--behave', behave, ...(folder ? ['--db', folder] : [])]
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface(child.stdout)
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the stand-in ended with exit code ${code}`)
  })
  const [ready] = (await Promise.race([once(lines, 'line'), ended])) as [string]
  ended.catch(() => {})
  const url = ready.replace('ready ', '')
  return {
    url,
    port: Number(/:(\d+)/.exec(url.slice('esdb://'.length))?.[1]),
    child,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async command(line) {
      child.stdin.write(`${line}\n`)
      const [answer] = (await once(lines, 'line')) as [string]
      if (answer !== `ok ${line}`) throw new Error(answer)
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}
