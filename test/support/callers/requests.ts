import { Agent, request } from 'node:http'

export interface Answered {
  /** The number of answers by status; 0 counts requests without an answer. */
  statuses: Map<number, number>
  /** The longest wait for an answer, in milliseconds. */
  slowest: number
}

export interface Requests {
  /** The path of the nth request, or of all requests. */
  path: string | ((n: number) => string)
  amount: number
  connections?: number
  method?: string
  /** The headers of the nth request. */
  headers?: (n: number) => Record<string, string>
  /** In milliseconds. A request that waits longer counts as one without an answer. */
  patience?: number
}

/** Sends so many requests on some persistent connections, each after the answer to the one before. */
export async function sendMany(url: string, how: Requests): Promise<Answered> {
  const { path, amount, connections = 10, method = 'GET', headers = () => ({}), patience = 10_000 } = how
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const statuses = new Map<number, number>()
  let [next, slowest] = [0, 0]

  const one = (n: number): Promise<number> =>
    new Promise((resolve) => {
      const options = { agent, method, headers: headers(n), timeout: patience }
      const asked = request(url + (typeof path === 'string' ? path : path(n)), options, (answer) => {
        answer.resume()
        answer.on('end', () => resolve(answer.statusCode ?? 0))
        answer.on('error', () => resolve(0))
      })
      asked.on('timeout', () => asked.destroy())
      asked.on('error', () => resolve(0))
      asked.end()
    })

  async function work(): Promise<void> {
    while (next < amount) {
      const sent = performance.now()
      const status = await one(next++)
      slowest = Math.max(slowest, performance.now() - sent)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }

  await Promise.all(Array.from({ length: connections }, work))
  agent.destroy()
  return { statuses, slowest }
}
