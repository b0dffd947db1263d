import { expect } from 'chai'
import type { Context } from 'koa'
import type { Accepted, Decision } from '../../../../src/application/authentication/authenticate.ts'
import type { User } from '../../../../src/application/authentication/user.ts'
import { createStillGood } from '../../../../src/http/authentication/stillGood.ts'

const acceptedFor = (accountId: string): Accepted => ({
  principal: { kind: 'jwt', accountId, scopes: [] },
  account: {},
  record: null,
  ceiling: null,
})
const REFUSED: Decision = { refused: 'expired', expired: true }

describe('A credential whose answer takes long', () => {
  let decision: Decision | Error
  let user: User | null | Error
  let isSent: boolean
  const decide = async () => {
    if (decision instanceof Error) throw decision
    return decision
  }
  const stillGood = createStillGood({
    authenticator: { authenticate: decide, authenticateUser: decide },
    readCredential: () => (isSent ? { kind: 'jwt', value: 'x' } : null),
    async askUser() {
      if (user instanceof Error) throw user
      return user
    },
    addressOf: () => null,
    clock: () => 1_000,
    log: { warn() {} },
  })
  const ask = (accepted = acceptedFor('acct_1')) => stillGood({ req: {} } as Context, accepted)

  beforeEach(() => {
    decision = acceptedFor('acct_1')
    user = null
    isSent = true
  })

  it('is asked for again, with its account', async () => {
    expect(await ask()).to.equal(true)
    decision = REFUSED
    expect(await ask()).to.equal(false)
    decision = acceptedFor('acct_2')
    expect(await ask(), 'the credential of another account').to.equal(false)
  })

  it('is refused from its end on, without a question', async () => {
    expect(await ask({ ...acceptedFor('acct_1'), expiresAt: 1_001 })).to.equal(true)
    expect(await ask({ ...acceptedFor('acct_1'), expiresAt: 1_000 })).to.equal(false)
  })

  it('is the login of the host, where no other was sent', async () => {
    isSent = false
    expect(await ask(), 'logged out').to.equal(false)
    user = { accountId: 'acct_1' }
    expect(await ask()).to.equal(true)
    decision = REFUSED
    expect(await ask(), 'the account is closed').to.equal(false)
  })

  it('goes on while nobody can tell', async () => {
    decision = new Error('away')
    expect(await ask()).to.equal(true)
    isSent = false
    user = new Error('the login is away')
    expect(await ask()).to.equal(true)
  })
})
