import { expect } from 'chai'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

interface List {
  total: number
  data: { token_id: string; name: string; status: string; requests?: number }[]
}
interface Report {
  account_id: string | null
  at: string
  tokens: Record<string, number>
  top: List & { from: string; to: string }
  never_used: List
  idle: List & { days: number }
  expiring: List & { days: number }
  without_expiry: List
}

describe('The report', () => {
  let now = 0
  let service: TestService
  let accounts = 0
  let owner: Api

  before(async () => {
    service = await startLedger({ clock: () => now })
  })
  after(() => service.close())
  beforeEach(() => {
    at('2026-11-23T12:00:00Z')
    owner = callerOf(service.url, bearer(jwtFor(`acct_${accounts++}`)))
  })

  const at = (time: string): void => {
    now = Date.parse(time)
  }
  const report = async (query = '') => (await owner.get(`${TOKENS}/report${query}`)).body as unknown as Report
  const names = ({ data }: List) => data.map(({ name }) => name)
  async function use({ id, token }: Body, times = 1): Promise<void> {
    const time = new Date(now).toISOString()
    for (let i = 0; i < times; i++) await callerOf(service.url, tokenHeader(token)).get('/auth/verify')
    await eventually(async () => {
      expect((await owner.get(`${TOKENS}/${id}`)).body.last_accessed).to.equal(time)
    })
  }
  const create = (name: string, input: object = {}) => createToken(owner, { name, ...input })

  it('of an account without tokens is empty', async () => {
    const { top, never_used, ...rest } = await report()
    expect(rest.tokens).to.deep.equal({ active: 0, expired: 0, revoked: 0, damaged: 0 })
    expect(top).to.deep.equal({
      from: '2026-10-24T12:00:00.000Z',
      to: '2026-11-23T12:00:00.000Z',
      total: 0,
      data: [],
    })
    expect(never_used).to.deep.equal({ total: 0, data: [] })
  })

  it('shows the most used of a range, revoked ones too', async () => {
    const [a, b, c] = [await create('a'), await create('b'), await create('c')]
    await use(a, 1)
    await use(b, 3)
    await use(c, 2)
    await owner.delete(`${TOKENS}/${b.id}`)
    now += 1
    const { top, tokens, account_id } = await eventually(async () => {
      const found = await report()
      expect(found.top.data.map(({ requests }) => requests)).to.deep.equal([3, 2, 1])
      return found
    })
    expect(names(top)).to.deep.equal(['b', 'c', 'a'])
    expect(top.data[0]).to.include({ status: 'revoked', account_id })
    expect(tokens).to.deep.equal({ active: 2, expired: 0, revoked: 1, damaged: 0 })
    expect((await report('?to=2026-11-23T12:00:00Z')).top.total).to.equal(0)
    now += 3_600_000
    expect((await report('?from=2026-11-23T12:59:00Z')).top.total, 'an hour counts whole').to.equal(3)
    expect((await report('?from=2026-11-23T13:00:00Z')).top.total).to.equal(0)
  })

  it('shows active tokens that were never used, oldest first', async () => {
    for (const name of ['first', 'revoked', 'used', 'expired', 'last']) {
      const token = await create(name, name === 'expired' ? { expires_at: '2026-11-23T13:00:00Z' } : {})
      now += 1000
      if (name === 'revoked') await owner.delete(`${TOKENS}/${token.id}`)
      if (name === 'used') await use(token)
    }
    at('2026-11-23T13:00:00Z')
    const { never_used, tokens } = await report()
    expect(names(never_used)).to.deep.equal(['first', 'last'])
    expect(tokens).to.include({ active: 3, expired: 1, revoked: 1 })
  })

  it('shows what has not been used for 90 days, or as many as asked for, longest idle first', async () => {
    at('2026-06-01T00:00:00Z')
    const [one, two] = [await create('one'), await create('two')]
    await create('never')
    await use(two)
    at('2026-06-02T00:00:00Z')
    await use(one)
    at('2026-08-30T00:00:00Z')
    const days = await report()
    expect([names(days.idle), days.idle.days]).to.deep.equal([[], 90])
    now += 1
    expect(names((await report()).idle)).to.deep.equal(['two'])
    expect(names((await report('?idle_days=30')).idle)).to.deep.equal(['two', 'one'])
  })

  it('shows what expires within 30 days, or as many as asked for, soonest first, and what never does', async () => {
    await create('far', { expires_at: '2026-12-23T12:00:00Z' })
    await create('near', { expires_at: '2026-12-23T11:59:59Z' })
    await create('nearer', { expires_at: '2026-11-24T00:00:00Z' })
    await create('never')
    const { expiring, without_expiry } = await report()
    expect([names(expiring), expiring.days]).to.deep.equal([['nearer', 'near'], 30])
    expect(names(without_expiry)).to.deep.equal(['never'])
    expect(names((await report('?expiring_days=31')).expiring)).to.deep.equal(['nearer', 'near', 'far'])
  })

  it('shows so many rows of a list, and how many there are', async () => {
    for (let i = 0; i < 5; i++) {
      await create(`t${i}`)
      now += 1000
    }
    const { never_used, without_expiry } = await report('?limit=2')
    expect(names(never_used)).to.deep.equal(['t0', 't1'])
    expect([never_used.total, without_expiry.total]).to.deep.equal([5, 5])
  })

  it("is the account's own, may be read by a token, and refuses what it does not know", async () => {
    const token = await create('mine')
    const asToken = await callerOf(service.url, tokenHeader(token.token)).get(`${TOKENS}/report`)
    expect(asToken.status).to.equal(200)
    expect((await report()).tokens.active).to.equal(1)
    expect((await callerOf(service.url).get(`${TOKENS}/report`)).status).to.equal(401)
    for (const query of ['idle_days=0', 'expiring_days=x', 'limit=101', 'from=May', 'granularity=day']) {
      const { status, body } = await owner.get(`${TOKENS}/report?${query}`)
      expect(status, query).to.equal(422)
      expect(body.errors[0]?.pointer).to.equal(`?${query.split('=')[0]}`)
    }
  })
})
