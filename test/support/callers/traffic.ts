import { setTimeout as sleep } from 'node:timers/promises'
import { type Api, apiOf, type CreatedToken, untilServed } from './api.ts'

/** Traffic at services that share their stores: creations, uses and revocations. It records wrong answers. */
export interface Traffic {
  /** Wrong answers, in words. */
  wrong: string[]
  /** Accepted uses by token id. */
  uses: Map<string, number>
  rounds(): number
  stop(): Promise<void>
}

/** How long the other processes may take to know of a revocation, in milliseconds. */
const ELSEWHERE_MS = 2_000
const PAUSE_MS = 15

/**
 * @param urls of the services; each round asks one, and checks the others
 * @param isPatient whether it asks again if the answer is 503, and does not count that as wrong
 */
export async function startTraffic(urls: readonly string[], { isPatient = false } = {}): Promise<Traffic> {
  const apis = urls.map((url) => (isPatient ? patientApi(url) : apiOf(url)))
  const wrong: string[] = []
  const uses = new Map<string, number>()
  const revoked: { token: string; at: number; on: Api }[] = []
  const [first] = apis as [Api]
  const lasting = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => (await first.create({ name: `lasting ${i}` })).body),
  )
  // A token is known to the other processes as soon as its creation was answered.
  await sleep(500)
  let [going, rounds] = [true, 0]

  async function use(api: Api, { id, token }: CreatedToken, expected: number, what: string): Promise<void> {
    const status = await api.use(token)
    if (status === 200) uses.set(id, (uses.get(id) ?? 0) + 1)
    if (status !== expected) wrong.push(`${what}: ${status}`)
  }

  async function round(n: number): Promise<void> {
    const api = apis[n % apis.length] as Api
    const { body: made, status } = await api.create({ name: `passing ${n}` })
    if (status !== 201) wrong.push(`creation: ${status}`)
    await use(api, made, 200, 'a new token')
    await use(api, lasting[n % lasting.length] as CreatedToken, 200, 'a lasting token')
    const renamed = await api.patch(made.id, { name: `renamed ${n}` })
    const read = await api.read(made.id)
    if (renamed.status !== 200 || read.body.name !== `renamed ${n}`) wrong.push('a change that was not read')
    const { status: gone } = await api.revoke(made.id)
    if (gone !== 204) wrong.push(`revocation: ${gone}`)
    revoked.push({ token: made.token, at: performance.now(), on: api })
    for (const { token, at, on } of revoked.slice(-5)) {
      for (const other of apis) {
        const asked = performance.now()
        const answer = await other.use(token)
        if (answer === 401 || (answer === 200 && other !== on && asked - at < ELSEWHERE_MS)) continue
        wrong.push(`revoked ${Math.round(asked - at)} ms ago: ${answer}`)
      }
    }
    const old = revoked[Math.floor(Math.random() * revoked.length)]
    if (old && performance.now() - old.at > ELSEWHERE_MS) {
      const answer = await api.use(old.token)
      if (answer !== 401) wrong.push(`revoked long ago: ${answer}`)
    }
  }

  async function run(): Promise<void> {
    while (going) {
      await round(rounds)
      rounds++
      // Leaves the machine some time for the services.
      await sleep(PAUSE_MS)
    }
  }

  const running = run()
  return {
    wrong,
    uses,
    rounds: () => rounds,
    async stop() {
      going = false
      await running
    },
  }
}

function patientApi(url: string): Api {
  const api = apiOf(url)
  return {
    ...api,
    create: (...args) => untilServed(() => api.create(...args)),
    patch: (...args) => untilServed(() => api.patch(...args)),
    read: (...args) => untilServed(() => api.read(...args)),
    revoke: (...args) => untilServed(() => api.revoke(...args)),
    use: async (token) => (await untilServed(async () => ({ status: await api.use(token) }))).status,
  }
}
