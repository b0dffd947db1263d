import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface Child {
  /** Its first line: `open`, or why it could not open the store. */
  said: string
  /** @returns `acknowledged`, or why the append failed */
  append(stream: string): Promise<string>
  /** Closes the store. */
  stop(): Promise<void>
  kill(): Promise<void>
}

const SCRIPT = fileURLToPath(new URL('./sqlite.child.js', import.meta.url))

/** The arguments of Node for such a process, without anything around it. */
export const childOf = (path: string): string[] => [SCRIPT, path]

/** Starts a process that opens an event store, appends one event to `child-1`, and keeps the store open. */
export async function startChild(path: string): Promise<Child> {
  const child: ChildProcess = spawn(process.execPath, childOf(path), { stdio: ['pipe', 'pipe', 'inherit'] })
  if (!child.stdout) throw new Error('no output')
  const lines = createInterface(child.stdout)
  const ended = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  const [said] = (await once(lines, 'line')) as [string]
  return {
    said,
    async append(stream) {
      const answer = once(lines, 'line')
      child.stdin?.write(`${stream}\n`)
      return String((await answer)[0])
    },
    async stop() {
      child.stdin?.end()
      await ended()
    },
    async kill() {
      child.kill('SIGKILL')
      await ended()
    },
  }
}
