import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { statusOf } from './hammer.ts'

/** A few clients that use good tokens, far below the limits of the service. */
export interface Probe {
  /** The number of answers by status since the last `reset`; 0 counts requests without an answer. */
  statuses: Map<number, number>
  /** Milliseconds within which 99 of 100 answers came since then. */
  p99(): number
  reset(): void
  stop(): Promise<void>
}

const CLIENTS = 4
const PAUSE_MS = 5

export function startProbe(
  url: string,
  tokens: readonly string[],
  headers: Record<string, string> = {},
): Probe {
  const agent = new Agent({ keepAlive: true })
  const statuses = new Map<number, number>()
  let taken: number[] = []
  let [going, n] = [true, 0]

  async function client(): Promise<void> {
    while (going) {
      const started = performance.now()
      const status = await statusOf(url, tokens[n++ % tokens.length] ?? '', agent, headers)
      taken.push(performance.now() - started)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      await sleep(PAUSE_MS)
    }
  }

  const running = Promise.all(Array.from({ length: CLIENTS }, client))
  return {
    statuses,
    p99: () => taken.sort((a, b) => a - b)[Math.floor(taken.length * 0.99)] ?? Number.NaN,
    reset() {
      taken = []
      statuses.clear()
    },
    async stop() {
      going = false
      await running
      agent.destroy()
    },
  }
}
