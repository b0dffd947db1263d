import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { statusOf } from './hammer.ts'
import { stopwatch } from '../suite/stopwatch.ts'

export interface Latencies {
  /** The time of the slowest answer, in milliseconds. */
  slowest: number
  statuses: Record<number, number>
}

const PAUSE_MS = 5

/** Uses a token again and again until `work` has ended, and returns how that went. */
export async function whileUsing<T>(
  url: string,
  token: string,
  work: () => Promise<T>,
): Promise<Latencies & { result: T; uses: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const statuses: Record<number, number> = {}
  let [slowest, going] = [0, true]
  const use = async (): Promise<void> => {
    while (going) {
      const took = stopwatch()
      const status = await statusOf(url, token, agent)
      slowest = Math.max(slowest, took())
      statuses[status] = (statuses[status] ?? 0) + 1
      await sleep(PAUSE_MS)
    }
  }
  const using = use()
  try {
    return {
      result: await work().finally(() => (going = false)),
      ...(await using, { slowest, statuses, uses: statuses[200] ?? 0 }),
    }
  } finally {
    going = false
    await using
    agent.destroy()
  }
}
