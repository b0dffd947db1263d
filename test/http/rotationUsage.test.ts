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
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { eventually } from '../support/suite/eventually.ts'

interface Usage {
  total: { requests: number }
  secrets: { hint: string; requests: number; last_accessed: string | null }[] | null
  retired_secret_uses?: { requests: number; last_at: string }
}

const START = Date.parse('2026-11-23T12:00:00.000Z')
const iso = (ms: number): string => new Date(ms).toISOString()

describe('The usage of a token that is rotated', () => {
  let now = START
  let service: TestService
  let owner: Api
  let token: Body
  let path: string
  let accounts = 0
  const lines: { fields: object; message: string }[] = []

  before(async () => {
    service = await startLedger({
      clock: () => now,
      rateLimitFailuresPerMinute: 0,
      log: { debug() {}, warn() {}, error() {}, info: (fields, message) => lines.push({ fields, message }) },
    })
  })
  after(() => service.close())
  beforeEach(async () => {
    now = START
    owner = callerOf(service.url, bearer(jwtFor(`acct_${accounts++}`)))
    token = await createToken(owner)
    path = `${TOKENS}/${token.id}`
  })

  const hintOf = (secret: string): string => `tkl_…${secret.slice(43, 47)}`
  const verify = async (secret: string): Promise<number> =>
    (await callerOf(service.url, tokenHeader(secret)).get('/auth/verify')).status
  const rotate = async (body: object): Promise<string> =>
    (await owner.post(`${path}/rotations`, body)).body.token
  const usage = async (query = '') => (await owner.get(`${path}/usage${query}`)).body as unknown as Usage
  const list = ({ data }: Body) => data.map(({ token_id, requests }: Body) => [token_id, requests])

  it('has a row for each secret that is accepted or was used, newest first', async () => {
    expect((await usage()).secrets).to.deep.equal([{ hint: token.hint, requests: 0, last_accessed: null }])
    for (let n = 0; n < 3; n++) await verify(token.token)
    const second = await rotate({ activate: 'now', grace_seconds: 60 })
    now += 1000
    await verify(second)
    await eventually(async () =>
      expect((await usage()).secrets).to.deep.equal([
        { hint: hintOf(second), requests: 1, last_accessed: iso(START + 1000) },
        { hint: token.hint, requests: 3, last_accessed: iso(START) },
      ]),
    )
    now += 60_000
    const third = await rotate({})
    expect((await usage()).secrets?.map(({ hint, requests }) => [hint, requests])).to.deep.equal([
      [hintOf(third), 0],
      [hintOf(second), 1],
      [token.hint, 3],
    ])
    expect((await usage('?route=/auth/verify')).secrets).to.equal(null)
    expect((await owner.get(`${TOKENS}/usage`)).body).to.not.have.property('secrets')
  })

  it('counts requests with secrets that have retired, which are no uses, and the report lists the token', async () => {
    const second = await rotate({ activate: 'now', grace_seconds: 0 })
    const third = await rotate({ activate: 'now', grace_seconds: 10 })
    expect(await usage()).to.not.have.property('retired_secret_uses')
    expect((await owner.get(`${path}/events`)).body).to.have.all.keys('data', 'next_cursor')
    expect(await verify(token.token)).to.equal(401)
    expect(await verify(second)).to.equal(200)
    now += 10_000
    expect(await verify(second)).to.equal(401)
    expect(await verify(token.token)).to.equal(401)
    expect(await verify(third)).to.equal(200)
    await eventually(async () => {
      expect((await usage()).retired_secret_uses).to.deep.equal({ requests: 3, last_at: iso(now) })
      expect((await usage()).total.requests).to.equal(2)
    })
    const history = (await owner.get(`${path}/events?limit=1`)).body as unknown as Usage
    expect(history.retired_secret_uses).to.deep.equal({ requests: 3, last_at: iso(now) })
    expect(await service.ledger.tokens.history(token.account_id, token.id)).to.deep.include({
      retiredSecretUses: { requests: 3, lastAt: iso(now) },
    })
    const { body } = await owner.get(`${TOKENS}/report`)
    const { retired_secret_uses: listed } = body as unknown as { retired_secret_uses: Body }
    expect(list(listed)).to.deep.equal([[token.id, 3]])
    expect(await service.ledger.metrics()).to.contain('\ntokenledger_retired_secret_uses_total 3\n')
    const other = callerOf(service.url, bearer(jwtFor('acct_other')))
    expect((await other.get(`${TOKENS}/report`)).body).to.deep.include({
      retired_secret_uses: { total: 0, data: [] },
    })
    expect((await owner.get(path)).body).to.include({ status: 'active', last_accessed: iso(now) })
  })

  it('is told of a secret that has retired by the log, which says which one it was', async () => {
    const second = await rotate({ activate: 'now', grace_seconds: 0 })
    const third = await rotate({ activate: 'now', grace_seconds: 10 })
    now += 10_000
    for (const secret of [token.token, second, third]) await verify(secret)
    const known = { reason: 'retired', tokenId: token.id, accountId: token.account_id }
    const refused = lines.flatMap(({ fields, message }) => (message === 'credential refused' ? [fields] : []))
    // A member that is called a secret would be hidden in the log of the service.
    expect(refused).to.containSubset([0, 1].map((secretRevision) => ({ ...known, secretRevision })))
    for (const line of refused) expect(line).not.to.have.property('secret')
  })
})
