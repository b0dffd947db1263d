import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync, readSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PEPPERS, SECRET } from './ledger.ts'
import { freePort } from './ports.ts'
import { type Environment, MAIN, ownFolder } from './service.ts'

/** What may receive a service's standard output. Kinds that end in `?` do not exist everywhere. */
export type Behind =
  | 'a file'
  | 'a full disk'
  | 'a disk that fills?'
  | 'a pipe nobody reads'
  | 'a pipe whose reader is gone'
  | 'a socket nobody reads'
  | 'a terminal that is stopped?'
  | 'nothing'

export interface Heard {
  child: ChildProcess
  url: string
  /** The output that came through so far. From here on everything is read, or there is room again. */
  hear(): Promise<string>
  /** Sends SIGTERM. @returns the exit code, null if it had to be killed, and how long it took */
  stop(): Promise<{ code: number | null; ms: number }>
  end(): Promise<void>
}

const PATIENCE_MS = 30_000
/** Longer than a stop may ever take, in milliseconds. */
const STOP_PATIENCE_MS = 8_000
const DISK = 'size=256k'

interface Wired {
  command: string[]
  stdout: number | 'pipe'
  /** Called once the service runs. */
  after?(): void
  hear(child: ChildProcess, url: string): Promise<string>
}

const NODE = [process.execPath, MAIN]

/** Does this machine have it? */
export function isThere(behind: Behind): boolean {
  const works = (program: string, ...args: string[]) => spawnSync(program, args).status === 0
  if (behind === 'a disk that fills?') {
    return works('unshare', '-rm', 'sh', '-c', `mount -t tmpfs -o ${DISK} none /mnt`)
  }
  return behind !== 'a terminal that is stopped?' || works('script', '--version')
}

/** The real service with a standard output that does not work as it should. Resolves when the service answers. */
export async function startBehind(behind: Behind, env: Environment = {}): Promise<Heard> {
  const folder = await ownFolder()
  const { command, stdout, after, hear } = wire(behind, folder)
  const port = await freePort()
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE,
      PORT: String(port),
      // On a terminal it would be for people.
      LOG_FORMAT: 'json',
      JWT_SECRET: SECRET,
      TOKEN_PEPPERS: PEPPERS,
      RATE_LIMIT_WRITES_PER_MINUTE: '0',
      RATE_LIMIT_FAILURES_PER_MINUTE: '0',
      ...env,
    },
    stdio: ['ignore', stdout, 'ignore'],
  })
  if (typeof stdout === 'number') closeSync(stdout)
  const ended = once(child, 'exit')
  const url = `http://127.0.0.1:${port}`
  await untilLive(url)
  after?.()
  return {
    child,
    url,
    hear: () => hear(child, url),
    async stop() {
      const asked = performance.now()
      const pid = serviceOf(child)
      process.kill(pid, 'SIGTERM')
      while (isRunning(pid)) {
        if (performance.now() - asked > STOP_PATIENCE_MS) process.kill(pid, 'SIGKILL')
        await sleep(5)
      }
      const ms = performance.now() - asked
      // A program in between may end only when its output is read.
      child.stdout?.resume()
      const [code] = (await ended) as [number | null]
      return { code, ms }
    },
    async end() {
      child.stdout?.destroy()
      if (child.exitCode !== null || child.signalCode !== null) return
      process.kill(serviceOf(child), 'SIGKILL')
      await ended
    },
  }
}

function wire(behind: Behind, folder: string): Wired {
  const file = join(folder, 'log')
  switch (behind) {
    case 'a file':
      return {
        command: NODE,
        stdout: openSync(file, 'a', 0o600),
        async hear() {
          await sleep(500)
          return readFileSync(file, 'utf8')
        },
      }
    case 'a full disk':
      return { command: NODE, stdout: openSync('/dev/full', 'w'), hear: async () => '' }
    case 'a disk that fills?':
      return { ...smallDisk(folder), stdout: 'pipe' }
    case 'a pipe nobody reads':
    case 'a pipe whose reader is gone':
      return { command: NODE, ...fifo(file, behind === 'a pipe whose reader is gone') }
    case 'a socket nobody reads':
      return { command: NODE, stdout: 'pipe', hear: heardFrom }
    case 'a terminal that is stopped?':
      return {
        command: ['script', '-qefc', `exec '${NODE.join("' '")}'`, '/dev/null'],
        stdout: 'pipe',
        hear: heardFrom,
      }
    case 'nothing':
      return { command: ['sh', '-c', 'exec "$@" >&-', 'sh', ...NODE], stdout: 'pipe', hear: async () => '' }
  }
}

/** A disk of 256 KiB that only the service can see. */
function smallDisk(folder: string): Pick<Wired, 'command' | 'hear'> {
  const mounted = `mount -t tmpfs -o ${DISK} none '${folder}/small' && exec "$@" >> '${folder}/small/log'`
  const script = `mkdir '${folder}/small' && ${mounted}`
  return {
    command: ['unshare', '-rm', 'sh', '-c', script, 'sh', ...NODE],
    async hear(child, url) {
      const log = `/proc/${child.pid}/fd/1`
      // When there is room again, there may be more output waiting than fits.
      for (let metrics = ''; !/^tokenledger_log_waiting_bytes 0$/m.test(metrics); ) {
        // This is longer than the pause after which the service tries to write again. The request for the metrics is
        // logged as well.
        await sleep(500)
        metrics = await (await fetch(`${url}/metrics`)).text()
      }
      const before = readFileSync(log, 'utf8')
      truncateSync(log)
      await sleep(2_000)
      return before + readFileSync(log, 'utf8')
    },
  }
}

function fifo(path: string, isGone: boolean): Pick<Wired, 'stdout' | 'after' | 'hear'> {
  spawnSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return {
    stdout: openSync(path, 'w'),
    after() {
      if (isGone) closeSync(reader)
    },
    async hear() {
      const again = isGone ? openSync(path, constants.O_RDONLY | constants.O_NONBLOCK) : reader
      const text = await readFor(again, 2_000)
      return text
    },
  }
}

async function readFor(fd: number, ms: number): Promise<string> {
  const chunk = Buffer.alloc(64 * 1024)
  let text = ''
  for (const end = performance.now() + ms; performance.now() < end; ) {
    try {
      const count = readSync(fd, chunk)
      text += chunk.toString('latin1', 0, count)
      if (count > 0) continue
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
    await sleep(5)
  }
  return text
}

async function heardFrom({ stdout }: ChildProcess): Promise<string> {
  let text = ''
  stdout?.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  await sleep(2_000)
  return text
}

/** A process that has ended, but whose parent has not been told, does not run. */
function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

/** With `script`, the service is a child of it. */
function serviceOf({ pid = 0, spawnfile }: ChildProcess): number {
  if (spawnfile !== 'script') return pid
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0])
}

async function untilLive(url: string): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS
  for (;;) {
    const answer = await fetch(`${url}/health/live`).catch(() => null)
    if (answer?.ok) return
    if (performance.now() > giveUpAt) throw new Error('the service never answered')
    await sleep(20)
  }
}
