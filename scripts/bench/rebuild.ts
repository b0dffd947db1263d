import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProbe } from '../../test/support/callers/probe.ts'
import { ownFolder } from './ownFolder.ts'
import { USES, writeUsage } from './projection.ts'
import { freePort, here, startServer } from './processes.ts'
import { JWT_SECRET, seedTokens, TOKEN_PEPPERS } from './seed.ts'
import { inFolder } from './stores.ts'

export interface Rebuilt {
  uses: number
  seconds: number
  /** CPU time of the command's process for each use, in microseconds. */
  cpuMicros: number
  /** The largest resident set of the command's process, in MiB. */
  peakMiB: number
}

const TOKENS = 100
const IDLE_MS = 20_000
const WARM_UP_MS = 5_000

/**
 * Runs the command `rebuild` on a log of 1,000,000 uses, of 10,000 tokens and 30 days: without a service, and
 * beside one that authenticates. The slowest answers of that are compared with those while nothing is rebuilt.
 */
export async function benchRebuild(): Promise<{
  alone: Rebuilt
  beside: Rebuilt
  p99Idle: number
  p99Beside: number
}> {
  const folder = ownFolder()
  const credentials = await seedTokens(folder, TOKENS)
  await writeUsage(folder)
  const env = { PATH: process.env.PATH ?? '', JWT_SECRET, TOKEN_PEPPERS, ...inFolder(folder) }
  const alone = await runRebuild(folder, env)

  const port = await freePort()
  const server = await startServer(here('../../src/main.js'), [], {
    cwd: folder,
    env: { ...env, PORT: String(port) },
    port,
    log: join(folder, 'service.log'),
  })
  const load = startProbe(server.url, credentials)
  await sleep(WARM_UP_MS)
  load.reset()
  await sleep(IDLE_MS)
  const p99Idle = load.p99()
  load.reset()
  const beside = await runRebuild(folder, env)
  const p99Beside = load.p99()
  await load.stop()
  const bad = [...load.statuses.keys()].filter((status) => status !== 200)
  if (bad.length > 0) throw new Error(`good tokens were answered with ${bad.join()}`)
  await server.stop()
  return { alone, beside, p99Idle, p99Beside }
}

async function runRebuild(folder: string, env: Record<string, string>): Promise<Rebuilt> {
  const child = spawn(process.execPath, [here('../tokenledger.js'), 'rebuild', '--json'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let [output, peakMiB, cpuSeconds] = ['', 0, 0]
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const watch = setInterval(() => {
    try {
      const [, kib] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? []
      peakMiB = Number(kib) / 1024
      const [user, system] = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(' ').slice(13, 15)
      cpuSeconds = (Number(user) + Number(system)) / TICKS_PER_SECOND
    } catch {
      // The process has ended, so the last value that was seen is the final one.
    }
  }, 100)
  const code = await new Promise((resolve) => child.once('close', resolve))
  clearInterval(watch)
  if (code !== 0) throw new Error(`the rebuild ended with ${String(code)}`)
  const { seconds } = JSON.parse(output)
  return { uses: USES, seconds, cpuMicros: (cpuSeconds / USES) * 1e6, peakMiB }
}

const TICKS_PER_SECOND = 100
