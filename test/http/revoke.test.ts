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

const UNKNOWN = '01890000-0000-7000-8000-000000000000'

describe('Revoking a token', () => {
  let now = Date.parse('2026-11-23T12:00:00.000Z')
  const logged: object[] = []
  let service: TestService
  let owner: Api
  let token: Body
  let path: string
  let asToken: Api

  before(async () => {
    const log = { debug() {}, warn() {}, error() {}, info: (fields: object) => void logged.push(fields) }
    service = await startLedger({ clock: () => now, maxTokensPerAccount: 1000, log })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(() => service.close())
  beforeEach(async () => {
    token = await createToken(owner)
    path = `${TOKENS}/${token.id}`
    asToken = callerOf(service.url, tokenHeader(token.token))
  })

  const history = async () => (await owner.get(`${path}/events`)).body.data

  it('lets the log say whose token it was that somebody still uses', async () => {
    await owner.delete(path)
    await asToken.get('/auth/verify')
    expect(logged.findLast((entry) => 'reason' in entry)).to.include({
      kind: 'token',
      reason: 'revoked',
      tokenId: token.id,
      accountId: 'acct_1',
    })
  })

  it('answers 204 with nothing, and the token is good for nothing any more', async () => {
    now += 1000
    const { status, text } = await owner.delete(path)
    expect(status).to.equal(204)
    expect(text).to.equal('')
    expect((await asToken.get('/auth/verify')).status).to.equal(401)
    const { body, headers } = await owner.get(path)
    expect(body).to.include({ status: 'revoked', revoked_at: new Date(now).toISOString(), revision: 1 })
    expect(headers.get('etag')).to.equal('"1"')
  })

  it('is done once: a second time is 204 and changes nothing', async () => {
    await owner.delete(`${path}?reason=first`)
    const first = (await owner.get(path)).body
    now += 1000
    expect((await owner.delete(`${path}?reason=second`)).status).to.equal(204)
    expect((await owner.get(path)).body).to.deep.equal(first)
    expect((await history()).map(({ type }) => type)).to.deep.equal(['TokenCreated', 'TokenRevoked'])
  })

  it('is done once also by many at the same moment', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => owner.delete(path)))
    expect(answers.map(({ status }) => status)).to.deep.equal(Array.from({ length: 20 }, () => 204))
    expect(await history()).to.have.lengthOf(2)
  })

  it('heeds If-Match the first time, and not the second', async () => {
    for (const value of ['"7"', 'W/"0"', '', 'nonsense']) {
      const { status, body } = await owner.delete(path, { 'If-Match': value })
      expect(status, value).to.equal(412)
      expect(body.code).to.equal('precondition_failed')
    }
    expect((await asToken.get('/auth/verify')).status).to.equal(200)
    expect((await owner.delete(path, { 'If-Match': '"0"' })).status).to.equal(204)
    expect((await owner.delete(path, { 'If-Match': '"7"' })).status).to.equal(204)
  })

  it('keeps the reason, up to 200 characters, in the event and nowhere else', async () => {
    const reason = '🔥'.repeat(200)
    await owner.delete(`${path}?${new URLSearchParams({ reason })}`)
    const [, event] = await history()
    expect(event?.data).to.deep.equal({ reason })
    expect((await owner.get(path)).text).not.to.include(reason)
  })

  it('takes no reason, and an empty one, for none', async () => {
    await owner.delete(`${path}?reason=`)
    expect((await history())[1]?.data).to.deep.equal({ reason: null })
  })

  it('refuses a reason that is too long or unprintable, and other parameters, and revokes nothing', async () => {
    const bad = [
      'reason='.padEnd(208, 'x'),
      'reason=a%00b',
      'reason=%E2%80%AE',
      'reason=a&reason=b',
      'force=1',
      `reason=${token.token}`,
    ]
    for (const query of bad) {
      const { status, body } = await owner.delete(`${path}?${query}`)
      expect(status, query).to.equal(422)
      expect(body.errors[0]?.pointer, query).to.match(/^\?(reason|force)$/)
    }
    expect(await history()).to.have.lengthOf(1)
  })

  it('is 404 for what is not there, before the query is validated', async () => {
    expect((await owner.delete(`${TOKENS}/${UNKNOWN}?force=1`)).status).to.equal(404)
  })

  it('is for a token on itself, by its id and as self', async () => {
    expect((await asToken.delete(path)).status).to.equal(204)
    expect((await asToken.delete(path)).status, 'revoked now').to.equal(401)
    const other = await createToken(owner)
    const asOther = callerOf(service.url, tokenHeader(other.token))
    expect((await asOther.delete(`${TOKENS}/self`, { 'If-Match': '"3"' })).status).to.equal(412)
    expect((await asOther.delete(`${TOKENS}/self?nonsense=1`)).status).to.equal(422)
    expect((await asOther.delete(`${TOKENS}/self?reason=leaked`)).status).to.equal(204)
    const { body } = await owner.get(`${TOKENS}/${other.id}/events`)
    expect(body.data[1]).to.deep.include({
      actor: { kind: 'token', id: other.id },
      data: { reason: 'leaked' },
    })
  })

  it('is not for a token on others: 403 before any look-up', async () => {
    const other = await createToken(owner)
    const foreign = await createToken(callerOf(service.url, bearer(jwtFor('acct_2'))))
    const gone = await createToken(owner)
    await owner.delete(`${TOKENS}/${gone.id}`)
    const answers = await Promise.all(
      [other.id, foreign.id, gone.id, UNKNOWN, 'nonsense', token.id.toUpperCase()].map((id) =>
        asToken.delete(`${TOKENS}/${id}?force=1`),
      ),
    )
    for (const { status, body } of answers) {
      expect(status).to.equal(403)
      expect({ ...body, request_id: '' }).to.deep.equal({ ...answers[0]?.body, request_id: '' })
    }
    expect((await callerOf(service.url, tokenHeader(other.token)).get('/auth/verify')).status).to.equal(200)
  })

  it('is for an expired token too', async () => {
    const { id } = await createToken(owner, { expires_at: new Date(now + 1000).toISOString() })
    now += 2000
    expect((await owner.delete(`${TOKENS}/${id}`)).status).to.equal(204)
    expect((await owner.get(`${TOKENS}/${id}`)).body.status).to.equal('revoked')
  })

  it('ignores a body', async () => {
    const { status } = await owner.send('DELETE', path, { body: { reason: 'in the wrong place' } })
    expect(status).to.equal(204)
    expect((await history())[1]?.data).to.deep.equal({ reason: null })
  })
})
