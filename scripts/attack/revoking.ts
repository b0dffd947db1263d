import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../../test/support/callers/caller.ts'
import { jwtFor } from '../../test/support/processes/ledger.ts'
import { startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

/** A thief of a token, or somebody who may write in the account, tries to keep its owner from revoking it. */

const WRITES = 30

await attack('A stolen token against its revocation', async ({ saw, control, bound }) => {
  const service = await startService({ RATE_LIMIT_WRITES_PER_MINUTE: String(WRITES) })
  const revokedBeside = async (account: string, loop: (id: string, token: string) => Promise<unknown>) => {
    const owner = callerOf(service.url, bearer(jwtFor(account)))
    const { id, token } = await createToken(owner)
    await loop(id, token)
    const { status } = await owner.delete(`${TOKENS}/${id}`)
    const after = await callerOf(service.url, tokenHeader(token)).get('/auth/verify')
    return `${status}, then ${after.status}`
  }

  const quiet = await revokedBeside('quiet', async () => {})
  control(`its owner revokes a token: ${quiet}`, quiet === '204, then 401')

  const refused: number[] = []
  const loud = await revokedBeside('loud', async (_, token) => {
    const thief = callerOf(service.url, tokenHeader(token))
    for (let i = 0; i < 3 * WRITES; i++) {
      refused.push((await thief.delete(`${TOKENS}/self`, { 'If-Match': '"x"' })).status)
    }
  })
  saw(`${refused.length} revocations by the token itself that fail: ${[...new Set(refused)].join(', ')}`)
  bound(`beside them its owner revokes it: ${loud}`, loud === '204, then 401')

  const busy = await revokedBeside('busy', async (id) => {
    const other = callerOf(service.url, bearer(jwtFor('busy')))
    const made = await Promise.all(
      Array.from({ length: 3 * WRITES }, (_, i) => other.patch(`${TOKENS}/${id}`, { name: `${i}` })),
    )
    saw(`${made.filter(({ status }) => status === 429).length} changes by somebody else were too many`)
  })
  bound(`when writes are used up its owner revokes it: ${busy}`, busy === '204, then 401')
})
