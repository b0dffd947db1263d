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

interface Check {
  refused: { ip: string; requests: number; last_at: string }[]
  more_refused?: { callers: number; requests: number }
  accepted: number
  unknown: number
}

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const START = Date.parse('2026-11-23T12:10:00.000Z')
const UNKNOWN = '01890000-0000-7000-8000-000000000000'

describe('Who would be shut out by addresses', () => {
  let now = START
  let service: TestService
  let accounts = 0
  let owner: Api
  let token: Body

  before(async () => {
    service = await startLedger({
      clock: () => now,
      trustProxyHops: 1,
      resolveUser: ({ req }) => (req.headers.cookie ? { accountId: 'users', can: ['read'] } : null),
    })
  })
  after(() => service.close())
  beforeEach(async () => {
    now = START
    owner = callerOf(service.url, bearer(jwtFor(`acct_${accounts++}`)))
    token = await createToken(owner)
  })

  const ask = (body: unknown, api = owner, id = token.id) =>
    api.post(`${TOKENS}/${id}/allowed-ips/check`, body)
  const check = async (...allowed_ips: string[]): Promise<Check> => {
    const { status, body } = await ask({ allowed_ips })
    expect(status, JSON.stringify(body)).to.equal(200)
    return body as unknown as Check
  }
  const use = async (address: string | null, times = 1) => {
    const from: Record<string, string> = address === null ? {} : { 'X-Forwarded-For': address }
    for (let i = 0; i < times; i++)
      await callerOf(service.url, tokenHeader(token.token)).get('/auth/verify', from)
  }
  const settled = (requests: number) =>
    eventually(async () => {
      const { body } = await owner.get(`${TOKENS}/${token.id}/usage?from=2026-01-01T00:00:00Z`)
      expect(body.total.requests).to.equal(requests)
    })

  it('is nobody where nobody was', async () => {
    expect(await check('192.0.2.1')).to.deep.equal({ refused: [], accepted: 0, unknown: 0 })
  })

  it('is said of each caller of the last 30 days, most requests first, and nothing is changed', async () => {
    await use('192.0.2.1', 2)
    await use('203.0.113.9')
    await use('2001:db8::7', 2)
    await use(null)
    await settled(6)
    now += 2 * HOUR_MS
    await use('203.0.113.9', 2)
    await settled(8)
    const last = new Date(now).toISOString()
    expect(await check('::ffff:192.0.2.0/120')).to.deep.equal({
      refused: [
        { ip: '203.0.113.9', requests: 3, last_at: last },
        { ip: '2001:db8::7', requests: 2, last_at: new Date(START).toISOString() },
      ],
      accepted: 2,
      unknown: 1,
    })
    expect(await check('0.0.0.0/0', '::/0')).to.deep.equal({ refused: [], accepted: 7, unknown: 1 })
    expect((await owner.get(`${TOKENS}/${token.id}`)).body).to.include({ revision: 0, allowed_ips: null })
  })

  it('leaves out what was before', async () => {
    await use('203.0.113.9')
    await settled(1)
    now += 31 * DAY_MS
    expect(await check('192.0.2.1')).to.deep.equal({ refused: [], accepted: 0, unknown: 0 })
  })

  it('counts those that were not kept by name as unknown', async () => {
    for (let i = 0; i < 102; i++) await use(`192.0.2.${i}`)
    await settled(102)
    expect(await check('192.0.2.0/24')).to.deep.equal({ refused: [], accepted: 100, unknown: 2 })
  })

  it('may be asked for a revoked token, and for that of a user who may only look', async () => {
    await owner.delete(`${TOKENS}/${token.id}`)
    expect(await check('192.0.2.1')).to.include({ accepted: 0 })
    const { id } = await createToken(callerOf(service.url, bearer(jwtFor('users'))))
    const user = callerOf(service.url, { Cookie: 'session=1' })
    expect((await ask({ allowed_ips: ['192.0.2.1'] }, user, id)).status).to.equal(200)
  })

  it('is not for tokens, not for other accounts, and not for ids that are none', async () => {
    const body = { allowed_ips: ['192.0.2.1'] }
    const own = await ask(body, callerOf(service.url, tokenHeader(token.token)))
    expect([own.status, own.body.code]).to.deep.equal([403, 'token_may_not_manage'])
    expect((await ask(body, callerOf(service.url))).status).to.equal(401)
    const other = callerOf(service.url, bearer(jwtFor('another')))
    for (const [api, id] of [
      [other, token.id],
      [owner, UNKNOWN],
      [owner, 'none'],
    ] as const) {
      const { status, body: problem } = await ask(body, api, id)
      expect([status, problem.code]).to.deep.equal([404, 'not_found'])
    }
  })

  it('is refused for what cannot be `allowed_ips`, naming the place', async () => {
    for (const [body, pointer] of [
      [{}, '/allowed_ips'],
      [{ allowed_ips: null }, '/allowed_ips'],
      [{ allowed_ips: [] }, '/allowed_ips'],
      [{ allowed_ips: ['192.0.2.1', '192.0.2.1/24'] }, '/allowed_ips/1'],
      [{ allowed_ips: ['fe80::1%eth0'] }, '/allowed_ips/0'],
      [{ allowed_ips: [7] }, '/allowed_ips/0'],
      [{ allowed_ips: Array.from({ length: 101 }, () => '192.0.2.1') }, '/allowed_ips'],
      [{ allowed_ips: ['192.0.2.1'], days: 7 }, '/days'],
    ] as const) {
      const { status, body: problem } = await ask(body)
      expect([status, problem.code], JSON.stringify(body)).to.deep.equal([422, 'validation_failed'])
      expect(problem.errors.map((error) => error.pointer)).to.include(pointer)
    }
    const path = `${TOKENS}/${token.id}/allowed-ips/check`
    const good = JSON.stringify({ allowed_ips: ['192.0.2.1'] })
    const type = { 'Content-Type': 'application/json' }
    expect((await owner.post(`${path}?days=7`, good, type)).status).to.equal(422)
    expect((await owner.post(path, '{', type)).status).to.equal(400)
    expect((await owner.post(path, good, { 'Content-Type': 'text/plain' })).status).to.equal(415)
    expect((await owner.post(path, 'x'.repeat(40_000), type)).status).to.equal(413)
    expect((await owner.get(path)).status).to.equal(405)
  })
})
