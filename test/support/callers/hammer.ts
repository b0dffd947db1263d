import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Hammer {
  /** When the last accepted request was sent, by `performance.now()`. */
  lastAccepted(): number
  /** The number of answers by status; 0 counts requests without an answer. */
  statuses: Map<number, number>
  /** Resolves at the first answer of this status from now on. */
  until(status: number): Promise<void>
  stop(): Promise<void>
}

const PAUSE_MS = 3

/** One client that uses a token again and again, each time after the answer before. */
export function hammer(url: string, token: string): Hammer {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const statuses = new Map<number, number>()
  const waiting = new Set<{ status: number; resolve: () => void }>()
  let lastAccepted = Number.NEGATIVE_INFINITY
  let going = true

  async function run(): Promise<void> {
    while (going) {
      const sent = performance.now()
      const status = await statusOf(url, token, agent)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (status === 200) lastAccepted = sent
      for (const wait of waiting) {
        if (wait.status !== status) continue
        waiting.delete(wait)
        wait.resolve()
      }
      await sleep(PAUSE_MS)
    }
  }

  const running = run()
  return {
    lastAccepted: () => lastAccepted,
    statuses,
    until: (status) => new Promise((resolve) => waiting.add({ status, resolve })),
    async stop() {
      going = false
      await running
      agent.destroy()
    },
  }
}

/** The status of one use of a token; 0 if there was no answer. */
export function statusOf(
  url: string,
  token: string,
  agent?: Agent,
  headers: Record<string, string> = {},
): Promise<number> {
  return new Promise((resolve) => {
    const options = { agent, headers: { ...headers, 'x-api-token': token } }
    const request = get(`${url}/auth/verify`, options, (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode ?? 0))
      answer.on('error', () => resolve(0))
    })
    request.on('error', () => resolve(0))
  })
}
