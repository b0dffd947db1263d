import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

export interface Server {
  url: string
  pid: number
  stop(): Promise<void>
}

export const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** A port of loopback that is free at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** Starts a Node program that listens on `port`, and waits until it answers. Its output goes to a file. */
export async function startServer(
  script: string,
  args: readonly string[],
  { cwd, env, port, log }: { cwd: string; env: Record<string, string>; port: number; log: string },
): Promise<Server> {
  const output = openSync(log, 'a')
  const child = spawn(process.execPath, [script, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', output, output],
  })
  const url = `http://127.0.0.1:${port}`
  await answering(url, child, log)
  return { url, pid: child.pid ?? 0, stop: () => stop(child) }
}

async function answering(url: string, child: ChildProcess, log: string): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${readFileSync(log, 'utf8')}`)
    const ok = await fetch(`${url}/health/live`).then(
      () => true,
      () => false,
    )
    if (ok) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

/**
 * The CPU time of all threads of a process so far, in microseconds. It comes from nanosecond counters of Linux's
 * scheduler.
 */
export function cpuMicros(pid: number): number {
  let nanos = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanos += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
  }
  return nanos / 1000
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
