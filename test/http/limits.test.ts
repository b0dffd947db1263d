import { expect } from 'chai'
import {
  type Answer,
  type Api,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import type { Refusal } from '../../src/domain/errors.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { assemblePieces, context, target } from '../support/stores/pieces.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'

const UNKNOWN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'

function assertTooMany({ status, headers, body }: Answer, policy: string, quota: number): void {
  expect(status).to.equal(429)
  expect(body.code).to.equal('rate_limited')
  const seconds = Number(headers.get('retry-after'))
  expect(seconds).to.be.within(1, 60)
  expect(headers.get('ratelimit-policy')).to.equal(`"${policy}";q=${quota};w=60`)
  expect(headers.get('ratelimit')).to.match(new RegExp(`^"${policy}";r=0;t=\\d+$`))
}

describe('Failures', () => {
  let now = Date.now()
  let service: TestService
  let anyone: Api
  let owner: Api
  beforeEach(async () => {
    service = await startLedger({ rateLimitFailuresPerMinute: 5, clock: () => now })
    anyone = callerOf(service.url)
    owner = anyone.with(bearer(jwtFor('acct_1')))
  })
  afterEach(() => service.close())

  const verify = (headers: Record<string, string>) => anyone.get('/auth/verify', headers)

  it('of an address are limited per minute, whatever is wrong and wherever', async () => {
    const bad = [tokenHeader('bad'), tokenHeader(UNKNOWN), bearer('bad'), bearer(UNKNOWN), tokenHeader('')]
    for (const headers of bad) expect((await verify(headers)).status).to.equal(401)
    assertTooMany(await verify(tokenHeader('bad')), 'failures', 5)
    assertTooMany(await anyone.get(TOKENS, bearer('bad')), 'failures', 5)
  })

  it('do not shut out good credentials from the same address', async () => {
    const { token } = await createToken(owner)
    for (let i = 0; i < 10; i++) await verify(tokenHeader('bad'))
    expect((await verify(tokenHeader(token))).status).to.equal(200)
    expect((await owner.get(TOKENS)).status).to.equal(200)
  })

  it('are 401 with a credential: a request without one, and a 403, are none', async () => {
    const { token } = await createToken(owner)
    for (let i = 0; i < 10; i++) {
      expect((await verify({})).status).to.equal(401)
      expect((await verify({ Authorization: 'Basic dTpw' })).status).to.equal(401)
      expect((await anyone.get('/auth/verify?scope=admin', tokenHeader(token))).status).to.equal(403)
    }
    expect((await verify(tokenHeader('bad'))).status).to.equal(401)
  })

  it('of an expired token count once, however often it is repeated', async () => {
    const { token } = await createToken(owner, { expires_at: new Date(now + 1000).toISOString() })
    now += 2000
    const expiredJwt = jwtFor('acct_1', { exp: 1 })
    for (let i = 0; i < 10; i++) {
      expect((await verify(tokenHeader(token))).status).to.equal(401)
      expect((await verify(bearer(expiredJwt))).status).to.equal(401)
    }
    for (let i = 0; i < 3; i++) expect((await verify(tokenHeader('bad'))).status).to.equal(401)
    assertTooMany(await verify(tokenHeader('bad')), 'failures', 5)
  })
})

describe('Writes', () => {
  it('of an account are limited per minute, and say what is left', async () => {
    const service = await startLedger({ rateLimitWritesPerMinute: 3 })
    try {
      const owner = callerOf(service.url, bearer(jwtFor('acct_1')))
      const created = await owner.post(TOKENS, { name: 'x' })
      expect(created.headers.get('ratelimit-policy')).to.equal('"writes";q=3;w=60')
      expect(created.headers.get('ratelimit')).to.match(/^"writes";r=2;t=\d+$/)
      const path = `${TOKENS}/${created.body.id}`
      expect((await owner.patch(path, { name: 'y' })).status).to.equal(200)
      expect((await owner.post(TOKENS, { name: '' })).status, 'one that is refused counts too').to.equal(422)
      assertTooMany(await owner.post(TOKENS, { name: 'x' }), 'writes', 3)
      assertTooMany(await owner.patch(path, { name: 'z' }), 'writes', 3)
      expect((await owner.get(path)).body.name, 'nothing was changed').to.equal('y')
      expect((await owner.get(TOKENS)).status, 'reading goes on').to.equal(200)
      const other = callerOf(service.url, bearer(jwtFor('acct_2')))
      expect((await other.post(TOKENS, { name: 'x' })).status, 'so does another account').to.equal(201)
    } finally {
      await service.close()
    }
  })
})

describe('Revoking', () => {
  let service: TestService
  let anyone: Api
  let owner: Api
  beforeEach(async () => {
    service = await startLedger({ rateLimitWritesPerMinute: 5, rateLimitFailuresPerMinute: 5 })
    anyone = callerOf(service.url)
    owner = anyone.with(bearer(jwtFor('acct_1')))
  })
  afterEach(() => service.close())

  /** An account with a token, whose writes are all used up. */
  async function usedUp(): Promise<{ id: string; token: string }> {
    const created = await createToken(owner)
    for (let i = 0; i < 5; i++) await owner.post(TOKENS, { name: '' })
    assertTooMany(await owner.post(TOKENS, { name: 'x' }), 'writes', 5)
    return created
  }

  it('is never held up by writes, whoever made them', async () => {
    const { id } = await usedUp()
    const revoked = await owner.delete(`${TOKENS}/${id}`)
    expect(revoked.status).to.equal(204)
    expect(revoked.headers.has('ratelimit'), 'it takes nothing').to.equal(false)
  })

  it('by the token itself is neither', async () => {
    const { token } = await usedUp()
    expect((await anyone.delete(`${TOKENS}/self`, tokenHeader(token))).status).to.equal(204)
  })

  it('takes nothing from writes, whatever becomes of it', async () => {
    const { id, token } = await createToken(owner)
    const itself = anyone.with(tokenHeader(token))
    for (let i = 0; i < 20; i++) {
      expect((await itself.delete(`${TOKENS}/self`, { 'If-Match': '"x"' })).status).to.equal(412)
      expect((await itself.delete(`${TOKENS}/${id}`, { 'If-Match': '"9"' })).status).to.equal(412)
      expect((await itself.delete(`${TOKENS}/self?reason=${'r'.repeat(201)}`)).status).to.equal(422)
      expect((await itself.post(TOKENS, { name: 'x' })).status).to.equal(403)
      expect((await itself.patch(`${TOKENS}/${id}`, { name: 'x' })).status).to.equal(403)
      expect((await owner.delete(`${TOKENS}/${id}`, { 'If-Match': '"9"' })).status).to.equal(412)
      expect((await owner.delete(`${TOKENS}/unknown`)).status).to.equal(404)
      expect((await owner.delete(`${TOKENS}/${id}?reasn=x`)).status).to.equal(422)
    }
    expect((await owner.patch(`${TOKENS}/${id}`, { name: 'y' })).headers.get('ratelimit')).to.match(/;r=3;/)
    for (let i = 0; i < 20; i++) expect((await owner.delete(`${TOKENS}/${id}`)).status).to.equal(204)
    expect((await owner.post(TOKENS, { name: 'y' })).headers.get('ratelimit')).to.match(/;r=2;/)
  })

  it('is not held up by failures of the same address', async () => {
    const { id, token } = await createToken(owner)
    const { id: other } = await createToken(owner)
    for (let i = 0; i < 10; i++) await anyone.get('/auth/verify', tokenHeader('bad'))
    expect((await anyone.delete(`${TOKENS}/self`, tokenHeader(token))).status, id).to.equal(204)
    expect((await owner.delete(`${TOKENS}/${other}`)).status).to.equal(204)
  })
})

describe('Revoking a token that is changed all the time', () => {
  it('comes through, however many changes are under way', async () => {
    const folder = await ownFolder()
    const { create, manage, close } = await assemblePieces(folder)
    try {
      const { id } = await create('x')
      const changes = Array.from({ length: 60 }, (_, i) =>
        manage.update(context(), target(id), { name: `n${i}` }).catch((error: Refusal) => error.code),
      )
      expect(await manage.revoke(context(), target(id), null)).to.equal(true)
      expect(await Promise.all(changes), 'some were held up').to.include('conflict')
    } finally {
      await close()
      await endServices()
    }
  })
})

describe('MAX_TOKENS_PER_ACCOUNT', () => {
  let now = Date.parse('2026-11-23T12:00:00.000Z')
  let service: TestService
  before(async () => {
    service = await startLedger({ maxTokensPerAccount: 7, clock: () => now })
  })
  after(() => service.close())

  const accountOf = (name: string) => callerOf(service.url, bearer(jwtFor(name)))
  const of = (answers: Answer[], status: number) => answers.filter((answer) => answer.status === status)

  it('is exact when 50 creations come at once', async () => {
    const owner = accountOf('acct_1')
    const answers = await Promise.all(Array.from({ length: 50 }, () => owner.post(TOKENS, { name: 'x' })))
    expect(of(answers, 201)).to.have.lengthOf(7)
    expect(of(answers, 409)).to.have.lengthOf(43)
    for (const { body } of of(answers, 409)) expect(body.code).to.equal('token_limit_reached')
    expect((await owner.get(TOKENS)).body.data).to.have.lengthOf(7)
  })

  it('is exact when creations with and without a key, and refused ones, come at once', async () => {
    const owner = accountOf('acct_2')
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, i) => {
        const key = { 'Idempotency-Key': `key-${i % 10}` }
        return i % 3 === 0
          ? owner.post(TOKENS, { name: 'x' }, key)
          : owner.post(TOKENS, { name: i % 3 === 1 ? 'y' : '' })
      }),
    )
    expect(of(answers, 201)).to.have.lengthOf(7)
    expect((await owner.get(`${TOKENS}?status=all`)).body.data).to.have.lengthOf(7)
  })

  it('counts neither revoked nor expired tokens', async () => {
    const owner = accountOf('acct_3')
    const first = await createToken(owner)
    for (let i = 0; i < 6; i++) await createToken(owner, { expires_at: new Date(now + 1000).toISOString() })
    expect((await owner.post(TOKENS, { name: 'x' })).status).to.equal(409)
    await owner.delete(`${TOKENS}/${first.id}`)
    expect((await owner.post(TOKENS, { name: 'x' })).status).to.equal(201)
    expect((await owner.post(TOKENS, { name: 'x' })).status).to.equal(409)
    now += 2000
    expect((await owner.post(TOKENS, { name: 'x' })).status).to.equal(201)
  })

  it('holds for an expired token that is extended, last of all, and not for one that is live', async () => {
    const owner = accountOf('acct_5')
    const soon = () => ({ expires_at: new Date(now + 1000).toISOString() })
    const [expired] = await Promise.all(Array.from({ length: 7 }, () => createToken(owner, soon())))
    now += 2000
    const [one] = await Promise.all(Array.from({ length: 7 }, () => createToken(owner, soon())))
    const path = `${TOKENS}/${expired?.id}`
    const extended = { expires_at: null }
    expect((await owner.patch(path, extended, { 'If-Match': '"9"' })).status).to.equal(412)
    const { status, body } = await owner.patch(path, extended)
    expect([status, body.code]).to.deep.equal([409, 'token_limit_reached'])
    expect((await owner.patch(path, { name: 'y' })).status, 'it stays expired').to.equal(200)
    expect((await owner.patch(`${TOKENS}/${one?.id}`, extended)).status, 'it is counted').to.equal(200)
    now += 2000
    const all = (await owner.get(`${TOKENS}?status=expired`)).body.data
    expect(all).to.have.lengthOf(13)
    const answers = await Promise.all(all.map(({ id }) => owner.patch(`${TOKENS}/${id}`, extended)))
    expect([of(answers, 200).length, of(answers, 409).length]).to.deep.equal([6, 7])
    expect((await owner.get(`${TOKENS}?status=active`)).body.data).to.have.lengthOf(7)
    expect((await owner.post(TOKENS, { name: 'x' })).status).to.equal(409)
  })

  it('is 409 after the input was validated, and leaves changing and revoking alone', async () => {
    const owner = accountOf('acct_4')
    const tokens = await Promise.all(Array.from({ length: 7 }, () => createToken(owner)))
    expect((await owner.post(TOKENS, { name: '' })).status).to.equal(422)
    expect((await owner.patch(`${TOKENS}/${tokens[0]?.id}`, { name: 'y' })).status).to.equal(200)
    expect((await owner.delete(`${TOKENS}/${tokens[0]?.id}`)).status).to.equal(204)
  })
})
