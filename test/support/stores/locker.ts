import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const CHILD = fileURLToPath(new URL('./locker.child.js', import.meta.url))

/** What another program may be doing with a database, as the SQL that it has run last. */
export const LOCKS = {
  'a shell in the middle of a transaction': 'BEGIN IMMEDIATE',
  'an exclusive transaction': 'BEGIN EXCLUSIVE',
  'a write that was never committed': 'BEGIN; CREATE TABLE forgotten (x); INSERT INTO forgotten VALUES (1)',
} as const

export const LONG_READ = 'BEGIN; SELECT count(*) FROM sqlite_schema'

export interface Locker {
  pid: number
  /** Ends the program, and with it its locks. */
  release(): Promise<void>
}

const running = new Set<ChildProcess>()

/** A process of its own, which keeps the locks that the SQL has taken. */
export async function lockWith(path: string, sql: string): Promise<Locker> {
  const child = spawn(process.execPath, [CHILD, path, sql], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  const ended = once(child, 'exit')
  const said = await Promise.race([once(child.stdout, 'data'), ended])
  if (String(said[0]).trim() !== 'held') throw new Error(`${path} could not be locked: ${String(said[0])}`)
  return {
    pid: child.pid ?? 0,
    async release() {
      child.kill('SIGKILL')
      await ended
      running.delete(child)
    },
  }
}

/** For `afterEach`: ends whatever a test has left. */
export async function endLockers(): Promise<void> {
  for (const child of running) child.kill('SIGKILL')
  running.clear()
}
