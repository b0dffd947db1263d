import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fill, jwtOf, type Question, questions } from '../bench/queries.ts'
import { inFolder } from '../bench/stores.ts'
import { startWatched, type Watched } from '../bench/watched.ts'
import { attack } from './lab.ts'

/** Small enough to be made in seconds, and large enough to hold the event loop for long, if that is possible at all. */
const SIZES = { others: 0, big: 20_000, busy: 30, days: 20 }
const CALLERS = 8
const QUIET_MS = 3_000
const ATTACK_MS = 12_000
const PACE_MS = 5
/** No request may hold the event loop for longer than this. */
const HOLD_MS = 20

await attack(
  'One caller asks for everything that takes long, while another authenticates',
  async (report) => {
    const { saw, control, bound } = report
    const folder = mkdtempSync(join(tmpdir(), 'tokenledger-attack-'))
    const stores = inFolder(folder)
    await fill(stores, false, SIZES)
    const watched = await startWatched(stores)
    try {
      const token = await createToken(watched.url)
      await authenticating(watched, token, async () => sleep(500))
      const quiet = await authenticating(watched, token, () => sleep(QUIET_MS))
      saw(`quiet: ${timesText(quiet)}`)
      control(`every authentication is answered 200, ${quiet.times.length} of them`, quiet.refused === 0)

      let answered = 0
      const loud = await authenticating(watched, token, async () => {
        answered = await askFor(watched.url, ATTACK_MS)
      })
      saw(`${CALLERS} callers had ${answered} long answers: ${timesText(loud)}`)
      control('the callers were answered', answered > 0)
      bound(`no authentication is refused, of ${loud.times.length}`, loud.refused === 0)
      bound(`no turn of the loop takes more than ${HOLD_MS} ms of CPU`, loud.cpu <= HOLD_MS)
      const most = Math.max(10 * p99(quiet.times), 100)
      bound(`p99 of authentication is below ${most.toFixed(0)} ms`, p99(loud.times) < most)
    } finally {
      await watched.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  },
)

interface Measured {
  times: number[]
  refused: number
  clock: number
  cpu: number
}

function timesText({ times, clock, cpu }: Measured): string {
  const [half, most, ...holds] = [at(times, 0.5), p99(times), clock, cpu].map((ms) => ms.toFixed(1))
  return `authentication p50 ${half} ms, p99 ${most} ms; longest turn of the loop ${holds[0]} ms, ${holds[1]} ms of CPU`
}

/** Authenticates at a steady pace for as long as `work` lasts. */
async function authenticating(watched: Watched, token: string, work: () => Promise<void>): Promise<Measured> {
  await watched.longestHold()
  const over = new AbortController()
  const times: number[] = []
  let refused = 0
  const working = work().finally(() => over.abort())
  while (!over.signal.aborted) {
    const started = performance.now()
    const { status } = await get(`${watched.url}/auth/verify`, { 'x-api-token': token })
    times.push(performance.now() - started)
    if (status !== 200) refused++
    await sleep(PACE_MS)
  }
  await working
  return { times, refused, ...(await watched.longestHold()) }
}

async function askFor(url: string, ms: number): Promise<number> {
  const asked = questions().flatMap(({ account, paths }: Question) =>
    paths.map((path) => ({ account, path })),
  )
  const end = performance.now() + ms
  let answered = 0
  const caller = async (_: unknown, i: number): Promise<void> => {
    for (let n = i; performance.now() < end; n += 7) {
      const { account, path } = asked[n % asked.length] as (typeof asked)[number]
      const { status } = await get(url + path, { authorization: `Bearer ${jwtOf(account)}` })
      if (status === 200) answered++
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
  return answered
}

async function get(url: string, headers: Record<string, string>): Promise<{ status: number }> {
  const response = await fetch(url, { headers })
  await response.arrayBuffer()
  return response
}

async function createToken(url: string): Promise<string> {
  const response = await fetch(`${url}/settings/api-tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${jwtOf('acct_quiet')}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'a bystander' }),
  })
  return ((await response.json()) as { token: string }).token
}

function at(times: readonly number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * share)] ?? Number.NaN
}

function p99(times: readonly number[]): number {
  return at(times, 0.99)
}
