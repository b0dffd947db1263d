import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../../test/support/callers/caller.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { jwtFor } from '../../test/support/processes/ledger.ts'
import { startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

/** A thief of a token asks for so many invented paths that his real actions might get lost among them. */

const INVENTED = 120

interface Listed {
  data: { method?: string; route?: string; ip?: string | null; requests: number }[]
  other: number
  other_first_hour: string | null
}
interface Blast {
  total: { requests: number }
  routes: Listed
  user_agents: Listed
  management: { requests: Listed }
}

await attack('Invented paths and names that crowd out what was done', async ({ saw, control, bound }) => {
  const service = await startService({ VERIFY_REQUEST_HEADERS: 'x-original' })
  const owner = callerOf(service.url, bearer(jwtFor('acct_1')))

  /** What the report says about a token's requests to the routes that manage tokens. */
  async function reported(invented: number): Promise<Blast> {
    const { id, token } = await createToken(owner)
    const thief = callerOf(service.url, tokenHeader(token))
    const ask = (path: string, agent: string) =>
      thief.get('/auth/verify', { 'X-Original-URI': path, 'User-Agent': agent })
    for (let i = 0; i < invented; i++) await ask(`${TOKENS}/${i}/${i}`, `agent ${i}`)
    for (let i = 0; i < invented; i++) await ask(`/invented/${i}`, 'the same')
    await thief.get(`${TOKENS}/${id}`)
    await thief.get(`${TOKENS}/${id}/usage`)
    await thief.delete(`${TOKENS}/self`)
    const all = 2 * invented + 3
    return eventually(async () => {
      const found = (await owner.get(`${TOKENS}/${id}/blast-radius`)).body as unknown as Blast
      if (found.total.requests !== all) throw new Error(`${found.total.requests} of ${all} uses are stored`)
      return found
    })
  }

  const acts = ({ management }: Blast) =>
    management.requests.data
      .filter(({ method }) => method !== '*')
      .map(({ method, route }) => `${method} ${route}`)
      .sort()
      .join(', ')

  const quiet = acts(await reported(0))
  saw(`without invented requests: ${quiet}`)
  control('the acts are reported', quiet.split(', ').length === 3)
  const loud = await reported(INVENTED)
  saw(`with ${2 * INVENTED} of them: ${acts(loud)}`)
  bound('the same acts are reported', acts(loud) === quiet)
  for (const [what, list] of Object.entries({ routes: loud.routes, agents: loud.user_agents })) {
    saw(`${what}: ${list.data.length} are counted by name, ${list.other} requests are not`)
    bound(`the report says when what it does not count by name came: ${what}`, Boolean(list.other_first_hour))
  }
})
