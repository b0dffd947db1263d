import { setTimeout as sleep } from 'node:timers/promises'
import { apiOf } from '../../test/support/callers/api.ts'
import { sendMany } from '../../test/support/callers/requests.ts'
import { type ServiceProcess, startService } from '../../test/support/processes/service.ts'
import { type StandInProcess, startStandInProcess } from '../../test/support/standIn/process.ts'
import { attack, type Report } from './lab.ts'

const TOKENS = 260
/** Paths for each token: as many as are counted by name. */
const PATHS = 50
const AGENTS = 20
/** In characters: nearly as much as Node accepts in a request. */
const LENGTH = 15_000
const HEAP_MB = 256
const MOST_BYTES = 128 * 1024 * 1024
const PATIENCE_MS = 40_000

async function checkBounds(
  service: ServiceProcess,
  eventStore: StandInProcess,
  report: Report,
): Promise<void> {
  const { saw, control, bound } = report
  const { url, child } = service
  const api = apiOf(url)
  const tokens: string[] = []
  const create = async (): Promise<void> => {
    while (tokens.length < TOKENS) {
      const n = tokens.push('')
      tokens[n - 1] = (await api.create({ name: `token ${n}` })).body.token
    }
  }
  await Promise.all(Array.from({ length: 10 }, create))
  const short = await sendMany(url, { path: '/auth/verify', amount: TOKENS, headers: (n) => as(tokens, n) })
  control(`short texts are answered: ${said(short.statuses)}`, short.statuses.get(200) === TOKENS)

  eventStore.freeze()
  const started = performance.now()
  let accepted = TOKENS
  for (const [what, times] of [
    ['paths', PATHS],
    ['agents', AGENTS],
  ] as const) {
    const { statuses } = await sendMany(url, {
      path: what === 'paths' ? (n) => `/auth/verify/${n}/${'p'.repeat(LENGTH)}` : () => '/auth/verify/short',
      amount: TOKENS * times,
      headers: (n) => ({
        ...as(tokens, n),
        ...(what === 'agents' && { 'user-agent': `${n} ${'a'.repeat(LENGTH)}` }),
      }),
    })
    accepted += statuses.get(200) ?? 0
    const isAnswered = statuses.get(200) === TOKENS * times
    bound(`long ${what} are answered: ${said(statuses)}`, isAnswered)
  }
  saw(`the event store stood still for ${Math.round((performance.now() - started) / 1000)} s`)
  if (child.exitCode !== null || child.signalCode !== null) throw new Error('the process has ended')
  const { bytes, entries } = await bufferOf(url)
  bound(`${entries} entries wait in ${bytes} bytes`, bytes < MOST_BYTES && entries > 0)

  eventStore.thaw()
  const giveUpAt = performance.now() + PATIENCE_MS
  let [counted, lost] = [0, 0]
  while (counted + lost !== accepted && performance.now() < giveUpAt) {
    await sleep(500)
    counted =
      (await api.call<{ total: { requests: number } }>('GET', '/settings/api-tokens/usage')).body.total
        ?.requests ?? 0
    ;({ lost } = await bufferOf(url))
  }
  bound(`each use is stored or declared: ${counted} + ${lost} of ${accepted}`, counted + lost === accepted)
}

const as = (tokens: readonly string[], n: number) => ({ 'x-api-token': tokens[n % TOKENS] ?? '' })

const said = (statuses: ReadonlyMap<number, number>): string =>
  [...statuses].map(([status, n]) => `${n} × ${status}`).join(', ')

async function bufferOf(url: string): Promise<{ bytes: number; entries: number; lost: number }> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const valueOf = (name: string) => Number(new RegExp(`^tokenledger_${name} (\\d+)$`, 'm').exec(text)?.[1])
  return {
    bytes: valueOf('usage_buffer_bytes'),
    entries: valueOf('usage_buffer_entries'),
    lost: valueOf('usage_lost_total'),
  }
}

await attack('Long paths and agents while the event store stands still', async (report) => {
  const eventStore = await startStandInProcess()
  try {
    const service = await startService({
      EVENT_STORE_URL: eventStore.url,
      MAX_TOKENS_PER_ACCOUNT: String(TOKENS),
      NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}`,
    })
    await checkBounds(service, eventStore, report)
  } finally {
    eventStore.thaw()
    await eventStore.kill()
  }
})
