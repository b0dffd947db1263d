import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The stand-in for EventStoreDB as a process of its own, for several services to share. */
export interface StandInProcess {
  port: number
  /** SIGSTOP: it takes connections and never answers. */
  freeze(): void
  thaw(): void
  /** Ends it; what it held in memory is gone. */
  stop(): Promise<void>
}

const PROGRAM = fileURLToPath(new URL('./main.js', import.meta.url))

/** On a free port of loopback. Resolves when it listens. */
export async function startStandIn(): Promise<StandInProcess> {
  const child = spawn(process.execPath, [PROGRAM, '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const [, port] = /:(\d+)/.exec(line.replace('esdb://', '')) ?? []
  if (!port) throw new Error(`the stand-in says '${line}'`)
  return {
    port: Number(port),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async stop() {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}
