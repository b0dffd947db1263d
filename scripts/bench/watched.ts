import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createApp } from '../../src/http/app.ts'
import { createHttpServer } from '../../src/http/server/server.ts'
import { createTokenLedger } from '../../src/ledger/ledger.ts'
import { here } from './processes.ts'
import { JWT_SECRET, TOKEN_PEPPERS } from './seed.ts'
import type { Stores } from './stores.ts'

/** The longest turn of the event loop, in milliseconds: by the clock, and in CPU time. */
export interface Hold {
  clock: number
  /** In CPU time, which is what it would have been on an otherwise idle machine. */
  cpu: number
}

/** The service's app in a process of its own, which reports for how long its event loop was held. */
export interface Watched {
  url: string
  pid: number
  /** The longest turn since the last call. */
  longestHold(): Promise<Hold>
  stop(): Promise<void>
}

export async function startWatched(stores: Stores): Promise<Watched> {
  const child = fork(here('./watched.js'), ['serve'], {
    env: { ...process.env, ...stores },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const { url } = (await next(child)) as { url: string }
  return {
    url,
    pid: child.pid ?? 0,
    async longestHold() {
      child.send('hold')
      return (await next(child)) as Hold
    },
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.send('stop')
      await ended
    },
  }
}

const next = async (child: ChildProcess): Promise<unknown> => {
  const ended = new AbortController()
  const { signal } = ended
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([message]) => message as unknown),
      once(child, 'exit', { signal }).then(([code]) => {
        throw new Error(`the watched service ended with ${code}`)
      }),
    ])
  } finally {
    ended.abort()
  }
}

async function serve(): Promise<void> {
  const ledger = await createTokenLedger({
    jwt: { secret: JWT_SECRET },
    peppers: TOKEN_PEPPERS,
    rateLimitFailuresPerMinute: 0,
    rateLimitWritesPerMinute: 0,
  })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const app = createApp({
    log,
    observe: ledger.observe(),
    routers: [ledger.verifyRoutes(), ledger.routes(), ledger.operatorRoutes(), ledger.operationRoutes()],
  })
  const server = createHttpServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const holds = watchLoop()
  process.on('message', (message) => {
    if (message === 'stop') void ledger.close().then(() => process.exit(0))
    else process.send?.(holds())
  })
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

/** Looks at both clocks in every turn of the loop. For that, the loop never rests. */
function watchLoop(): () => Hold {
  let longest: Hold = { clock: 0, cpu: 0 }
  const cpu = threadClock()
  const read = (): Hold => ({ clock: performance.now(), cpu: cpu() })
  let last = read()
  const look = (): void => {
    const now = read()
    longest = {
      clock: Math.max(longest.clock, now.clock - last.clock),
      cpu: Math.max(longest.cpu, now.cpu - last.cpu),
    }
    last = now
    setImmediate(look)
  }
  look()
  return () => {
    const found = longest
    longest = { clock: 0, cpu: 0 }
    return found
  }
}

/**
 * A clock of this thread's CPU time, in milliseconds. Before Node 23.9 it comes from Linux, and may be one tick old.
 */
function threadClock(): () => number {
  const { threadCpuUsage } = process as { threadCpuUsage?: typeof process.cpuUsage }
  if (threadCpuUsage) {
    return () => {
      const { user, system } = threadCpuUsage.call(process)
      return (user + system) / 1000
    }
  }
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
  const text = Buffer.alloc(64)
  return () => Number(text.toString('latin1', 0, readSync(file, text, 0, 64, 0)).split(' ')[0]) / 1e6
}

if (process.send && process.argv[2] === 'serve') await serve()
