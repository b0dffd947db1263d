import { type Api, apiOf } from '../../test/support/callers/api.ts'
import { startFleet } from '../../test/support/processes/fleet.ts'
import { attack } from './lab.ts'

const MAX = 10
const ROUNDS = 6
const AT_ONCE = 30

/** Sends creations for one account to two processes on one MongoDB at the same time. How many tokens does it get? */
await attack('an account at its limit, in two processes at once', async ({ saw, control, bound }) => {
  const fleet = await startFleet(2, { env: { MAX_TOKENS_PER_ACCOUNT: String(MAX) } })
  try {
    const urls = fleet.members.map(({ api }) => api.url)

    async function race(account: string, to: readonly string[]) {
      const callers = to.map((url) => apiOf(url, account))
      const caller = (n: number) => callers[n % callers.length] as Api
      const started = performance.now()
      const answers = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, n) => caller(n).create({ name: `token ${n}` })),
      )
      const ms = performance.now() - started
      const { body } = await caller(0).list()
      const statuses = answers.map(({ status }) => status)
      return { made: body.data.length, created: statuses.filter((one) => one === 201).length, statuses, ms }
    }

    const alone = await race('alone', urls.slice(0, 1))
    control(`one process alone makes ${alone.made} of ${MAX}`, alone.made === MAX)
    for (let n = 1; n <= ROUNDS; n++) {
      const { made, created, statuses, ms } = await race(`acct_${n}`, urls)
      saw(`${AT_ONCE} answers in ${Math.round(ms)} ms: ${[...new Set(statuses)].join(', ')}`)
      bound(`two processes make ${made} of ${MAX}, ${created} of them answered with 201`, made === MAX)
    }
  } finally {
    await fleet.close()
  }
})
