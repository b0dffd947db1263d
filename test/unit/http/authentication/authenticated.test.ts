import { expect } from 'chai'
import type { Context } from 'koa'
import { createGate } from '../../../../src/application/scheduling/gate.ts'
import type { AuthenticateRequest } from '../../../../src/http/authentication/authenticate.ts'
import { readingWith } from '../../../../src/http/authentication/authenticated.ts'
import { gate as opening } from '../../../support/suite/eventually.ts'

const as = (kind: 'jwt' | 'token', accountId: string): AuthenticateRequest => {
  const principal = { kind, accountId, scopes: [] }
  return () => ({ principal, account: {}, record: null, ceiling: null })
}

const request = (): Context =>
  ({ set() {}, req: { headers: {} }, res: { destroyed: false, on() {} } }) as unknown as Context

describe('Reading', () => {
  it('by the tokens of an account takes no place from the account itself, or from another one', async () => {
    const gate = createGate({ atOnce: 32, waiting: 64, waitingEach: 4, waitMs: 10_000 })
    const { opened, open } = opening()
    const ask = (authenticateRequest: AuthenticateRequest, work: () => Promise<void>) =>
      readingWith(authenticateRequest, gate)(work)(request())
    const stolen = as('token', 'acct_1')
    const loop = Array.from({ length: 20 }, () => ask(stolen, () => opened).catch(({ name }) => name))
    const refused = await Promise.race(loop)
    expect(refused, 'no more of its own').to.equal('BusyError')
    let answered = 0
    for (const owner of [as('jwt', 'acct_1'), as('jwt', 'acct_2'), as('token', 'acct_2')])
      await ask(owner, async () => void answered++)
    expect(answered).to.equal(3)
    open()
    await Promise.all(loop)
  })
})
