import { setTimeout as sleep } from 'node:timers/promises'
import { apiOf } from './api.ts'
import { randomAddress, randomTokens, rawRequest, startFlood } from './flood.ts'
import { statusOf } from './hammer.ts'
import { startProbe } from './probe.ts'

/** A service behind one proxy, which good callers ask from one address while others flood it. */

export const CONNECTIONS = 1_500
const HERE = { 'X-Forwarded-For': '203.0.113.9' }
const RAMP_MS = 600
const TOKENS = randomTokens(4_000)

export const floods = {
  /**
   * The same number of requests, which need no store. The other floods are compared with this one, since everything
   * shares one machine.
   */
  harmless: [rawRequest('/health/live')],
  /** Random tokens from the address of the good callers. */
  oneAddress: TOKENS.map((token) => rawRequest('/auth/verify', { ...HERE, 'X-API-Token': token })),
  manyAddresses: TOKENS.map((token) =>
    rawRequest('/auth/verify', { 'X-Forwarded-For': randomAddress(), 'X-API-Token': token }),
  ),
}

export interface FloodResult {
  /** Milliseconds within which 99 % of the uses of good tokens were answered. */
  p99: number
  /** Answers to the flood per second. */
  perSecond: number
  statuses: Map<number, number>
  /** Wrong answers to good callers, by status. */
  wrong: Map<number, number>
  /** Look-ups of credentials that the service did not know. */
  lookUps: number
}

/** The answers that good callers get for some time, beside a flood or without one. */
export async function flooded(
  url: string,
  tokens: readonly string[],
  requests: readonly string[] | null,
  ms: number,
): Promise<FloodResult> {
  const before = await lookUpsAt(url)
  // These connect before the flood does, since they would otherwise wait behind all of its connections.
  const probe = startProbe(url, tokens, HERE)
  const owner = startOwner(url)
  await sleep(200)
  const started = performance.now()
  const flood = requests && (await startFlood(url, requests, CONNECTIONS))
  await sleep(RAMP_MS)
  probe.reset()
  await sleep(ms)
  const p99 = probe.p99()
  const statuses = (await flood?.stop()) ?? new Map<number, number>()
  const seconds = (performance.now() - started) / 1000
  await probe.stop()
  const wrong = await owner.stop()
  for (const [status, n] of probe.statuses) if (status !== 200) wrong.set(status, n)
  const perSecond = [...statuses.values()].reduce((sum, n) => sum + n, 0) / seconds
  return { p99, perSecond, statuses, wrong, lookUps: (await lookUpsAt(url)) - before }
}

/** Makes tokens, and uses, changes, uses and revokes each. None of them is in memory when it is first used. */
function startOwner(url: string): { stop(): Promise<Map<number, number>> } {
  const api = apiOf(url)
  const wrong = new Map<number, number>()
  const stopping = new AbortController()
  const expect = (expected: number, status: number) => {
    if (status !== expected) wrong.set(status, (wrong.get(status) ?? 0) + 1)
  }
  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const { status, body } = await api.create({ name: 'made meanwhile' })
      expect(201, status)
      if (status !== 201) continue
      expect(200, await statusOf(url, body.token, undefined, HERE))
      expect(200, (await api.patch(body.id, { name: 'changed meanwhile' })).status)
      expect(200, await statusOf(url, body.token, undefined, HERE))
      expect(204, (await api.revoke(body.id)).status)
      expect(
        401,
        await statusOf(url, body.token, undefined, HERE).then((refused) => (refused === 429 ? 401 : refused)),
      )
      await sleep(20)
    }
  }
  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
      return wrong
    },
  }
}

/** Makes some tokens of one account, and uses each once, unless the service must not know them. */
export async function goodTokens(url: string, amount: number): Promise<string[]> {
  const api = apiOf(url)
  const made = await Promise.all(
    Array.from({ length: amount }, async (_, i) => (await api.create({ name: `good ${i}` })).body.token),
  )
  for (const token of made) await statusOf(url, token, undefined, HERE)
  return made
}

async function lookUpsAt(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const [, n] = /^tokenledger_look_ups_total\{of="unknown"\} (\d+)/m.exec(text) ?? []
  return Number(n)
}

export const shown = (statuses: ReadonlyMap<number, number>): string =>
  [...statuses].map(([status, n]) => `${n} × ${status}`).join(', ') || 'none'
