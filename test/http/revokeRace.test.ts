import { expect } from 'chai'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { gate } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

for (const auditMode of ['buffered', 'strict'] as const) {
  describe(`Once a token was revoked (audit: ${auditMode})`, () => {
    let service: TestService
    /** While this is set, account look-ups that begin wait until it opens. */
    let held: ReturnType<typeof gate> | null = null
    let waiting = 0

    before(async () => {
      service = await startLedger({
        auditMode,
        maxTokensPerAccount: 1000,
        resolveAccount: async (id) => {
          waiting++
          await held?.opened
          waiting--
          return { id }
        },
      })
    })
    after(() => service.close())

    const owner = () => callerOf(service.url, bearer(jwtFor('acct_1')))
    const verify = (token: string, query = '') =>
      callerOf(service.url).get(`/auth/verify${query}`, tokenHeader(token))

    /** Starts requests whose account look-ups wait, does something, and then lets the look-ups continue. */
    async function during<T>(
      count: number,
      start: () => Promise<T>,
      meanwhile: () => Promise<unknown>,
    ): Promise<T[]> {
      const own = gate()
      held = own
      const answers = Array.from({ length: count }, start)
      while (waiting < count) await settle()
      held = null
      await meanwhile()
      own.open()
      return Promise.all(answers)
    }

    it('no request is accepted that was under way, whether or not the token was known before', async () => {
      for (const isKnown of [true, false]) {
        const { id, token } = await createToken(owner())
        if (isKnown) expect((await verify(token)).status).to.equal(200)
        const answers = await during(
          30,
          () => verify(token),
          async () => expect((await owner().delete(`${TOKENS}/${id}`)).status).to.equal(204),
        )
        expect(answers.filter(({ status }) => status !== 401)).to.deep.equal([])
      }
    })

    it('no call of verify() is accepted that was under way, of many that were the first for the token', async () => {
      const { id, token } = await createToken(owner())
      const verified = await during(
        10,
        () => service.ledger.verify(token),
        () => owner().delete(`${TOKENS}/${id}`),
      )
      expect(verified).to.deep.equal(Array.from({ length: 10 }, () => null))
    })

    it('no request under way is let through with a scope that was taken away', async () => {
      const { id, token } = await createToken(owner(), { scopes: ['a', 'b'] })
      await verify(token)
      const answers = await during(
        10,
        () => verify(token, '?scope=a'),
        () => owner().patch(`${TOKENS}/${id}`, { scopes: ['b'] }),
      )
      expect(answers.map(({ status }) => status)).to.deep.equal(Array.from({ length: 10 }, () => 403))
    })

    it('no request is accepted that begins after the answer, under load', async () => {
      const tokens = await Promise.all(Array.from({ length: 4 }, () => createToken(owner())))
      const revoked = new Set<string>()
      let accepted = 0
      let late = 0
      let going = true
      const users = tokens.flatMap(({ token }) =>
        Array.from({ length: 3 }, async () => {
          while (going) {
            const isLate = revoked.has(token)
            const { status } = await verify(token)
            if (status === 200) accepted++
            if (status === 200 && isLate) late++
          }
        }),
      )
      for (const { id, token } of tokens) {
        const before = accepted
        while (accepted < before + 20) await settle()
        expect((await owner().delete(`${TOKENS}/${id}`)).status).to.equal(204)
        revoked.add(token)
        expect((await verify(token)).status).to.equal(401)
      }
      going = false
      await Promise.all(users)
      expect(late).to.equal(0)
    })
  })
}
