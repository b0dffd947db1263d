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

const START = Date.parse('2026-11-23T12:00:00.000Z')
const DAY_MS = 86_400_000
const iso = (ms: number): string => new Date(ms).toISOString()

describe('Rotating a token', () => {
  let now = START
  let service: TestService
  let owner: Api
  let token: Body
  let path: string

  before(async () => {
    service = await startLedger({
      clock: () => now,
      maxTokensPerAccount: 1000,
      rateLimitWritesPerMinute: 0,
      rateLimitFailuresPerMinute: 0,
    })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(() => service.close())
  beforeEach(async () => {
    token = await createToken(owner, { scopes: ['a'], rotatable: true })
    path = `${TOKENS}/${token.id}`
  })

  const callerWith = (secret: string) => callerOf(service.url, tokenHeader(secret))
  const verify = async (secret: string) => (await callerWith(secret).get('/auth/verify')).status
  const rotate = async (body: object = {}): Promise<Body> => {
    const { status, body: made } = await owner.post(`${path}/rotations`, body)
    expect(status, JSON.stringify(made)).to.equal(201)
    return made
  }
  const read = async () => (await owner.get(path)).body
  const end = (status: string) => owner.delete(`${path}/rotations?status=${status}`)
  const codeOf = ({ status, body }: { status: number; body: Body }) => [status, body?.code]
  const types = async (): Promise<string[]> =>
    (await owner.get(`${path}/events`)).body.data.map(({ type }: { type: string }) => type)
  /** The first use of the newer secret is written down in the background. */
  const activated = (secret: string) =>
    eventually(async () => {
      expect(await verify(secret)).to.equal(200)
      expect((await read()).rotation?.status).to.equal('grace')
    })

  it('gives it a second secret, which is told once, under the same id', async () => {
    const { status, headers, body } = await owner.post(`${path}/rotations`)
    expect(status).to.equal(201)
    expect(headers.get('etag')).to.equal('"1"')
    expect(headers.get('cache-control')).to.equal('no-store')
    const { token: secret, ...shown } = body
    expect(secret)
      .to.match(/^tkl_[0-9A-Za-z]{49}$/)
      .and.not.equal(token.token)
    const { token: _, ...before } = token
    expect(shown).to.deep.equal({
      ...before,
      revision: 1,
      updated_at: iso(now),
      rotation: {
        status: 'pending',
        hint: `tkl_…${secret.slice(43, 47)}`,
        started_at: iso(now),
        started_by: { kind: 'jwt', id: 'acct_1' },
        activated_at: null,
        retires_at: null,
      },
    })
    expect(await read()).to.deep.equal(shown)
  })

  it('accepts both while it is pending, for however long, and begins the grace with the first use', async () => {
    const { token: newer } = await rotate({ grace_seconds: 60 })
    now += 400 * DAY_MS
    expect(await verify(token.token)).to.equal(200)
    expect((await read()).rotation.status).to.equal('pending')
    await activated(newer)
    const { rotation, hint, revision, updated_at } = await read()
    expect(rotation).to.include({ status: 'grace', hint: token.hint })
    expect(rotation.retires_at).to.equal(iso(Date.parse(rotation.activated_at) + 60_000))
    expect(hint).to.equal(`tkl_…${newer.slice(43, 47)}`)
    expect({ revision, updated_at }).to.deep.equal({ revision: 2, updated_at: iso(now - 400 * DAY_MS) })
    expect(await types()).to.deep.equal(['TokenCreated', 'TokenRotationStarted', 'TokenSecretActivated'])
  })

  it('accepts the older one until the grace is over, and says so, then never again', async () => {
    const { token: newer } = await rotate({ grace_seconds: 60 })
    await activated(newer)
    const retires = Date.parse((await read()).rotation.retires_at)
    const older = await callerWith(token.token).get('/auth/verify')
    expect(older.status).to.equal(200)
    expect(older.headers.get('token-retires-at')).to.equal(iso(retires))
    expect((await callerWith(token.token).get(`${TOKENS}/self`)).headers.get('token-retires-at')).to.equal(
      iso(retires),
    )
    expect((await callerWith(newer).get('/auth/verify')).headers.get('token-retires-at')).to.equal(null)
    now = retires - 1
    expect(await verify(token.token)).to.equal(200)
    now = retires
    expect(await verify(token.token)).to.equal(401)
    expect(await verify(newer)).to.equal(200)
    expect(await service.ledger.metrics()).to.contain('\ntokenledger_retired_secret_uses_total 1\n')
    expect((await read()).rotation).to.equal(null)
  })

  it('at once begins the grace at once, and without a grace the older one is dead when the answer is there', async () => {
    const { token: second, rotation, hint } = await rotate({ activate: 'now', grace_seconds: 5 })
    expect(rotation).to.deep.include({
      status: 'grace',
      hint: token.hint,
      activated_at: iso(now),
      retires_at: iso(now + 5000),
    })
    expect(hint).to.equal(`tkl_…${second.slice(43, 47)}`)
    expect(await verify(token.token)).to.equal(200)
    now += 5000
    expect(await verify(token.token)).to.equal(401)
    const { token: third, rotation: none } = await rotate({ activate: 'now', grace_seconds: 0 })
    expect(none).to.equal(null)
    expect(await verify(second)).to.equal(401)
    expect(await verify(third)).to.equal(200)
  })

  it('again while it is pending replaces the newer secret, since nobody may have got it', async () => {
    const { token: lost } = await rotate()
    expect(await verify(token.token)).to.equal(200)
    const { token: got } = await rotate()
    expect(await verify(lost)).to.equal(401)
    expect(await verify(token.token)).to.equal(200)
    await activated(got)
  })

  it('again in the grace replaces the newer one as long as nobody has used it, and the older retires when it was to', async () => {
    const { token: unused, rotation } = await rotate({ activate: 'now', grace_seconds: 60 })
    now += 1000
    const { token: used, rotation: replaced } = await rotate({ grace_seconds: 600 })
    expect(replaced).to.include({ status: 'grace', hint: token.hint, retires_at: rotation.retires_at })
    expect(await verify(unused)).to.equal(401)
    expect(await verify(token.token)).to.equal(200)
    expect(await verify(used)).to.equal(200)
    const third = await owner.post(`${path}/rotations`, {})
    expect(codeOf(third)).to.deep.equal([409, 'rotation_under_way'])
    expect(third.body.detail).to.equal(
      `The older secret is accepted until ${rotation.retires_at}. Wait until then, or end the rotation. DELETE …/rotations?status=grace ends it.`,
    )
    now += 59_000
    expect(await verify(token.token)).to.equal(401)
  })

  it('at once and without a grace kills every other secret, also in a grace that has begun', async () => {
    const { token: unused } = await rotate({ activate: 'now', grace_seconds: 604_800 })
    const { token: only, rotation, hint } = await rotate({ activate: 'now', grace_seconds: 0 })
    expect(rotation).to.equal(null)
    expect(hint).to.equal(`tkl_…${only.slice(43, 47)}`)
    expect([await verify(token.token), await verify(unused), await verify(only)]).to.deep.equal([
      401, 401, 200,
    ])
    expect(await read()).to.include({ rotation: null, hint })
    expect((await owner.get(`${path}?at=2`)).body).to.include({ rotation: null, hint })
    expect((await owner.get(`${path}/events`)).body.data.at(-1)?.data.beside).to.include({
      hint: token.hint,
      retires_at: null,
    })
  })

  it('can be ended: pending kills the newer secret, grace the older one', async () => {
    expect(codeOf(await end('pending'))).to.deep.equal([409, 'no_such_rotation'])
    const { token: cancelled } = await rotate()
    expect(codeOf(await end('grace'))).to.deep.equal([409, 'no_such_rotation'])
    expect((await end('pending')).status).to.equal(204)
    expect(await verify(cancelled)).to.equal(401)
    expect(await verify(token.token)).to.equal(200)
    const { token: newer } = await rotate({ activate: 'now' })
    expect(codeOf(await end('pending'))).to.deep.equal([409, 'no_such_rotation'])
    expect((await end('grace')).status).to.equal(204)
    expect(await verify(token.token)).to.equal(401)
    expect(await verify(newer)).to.equal(200)
    expect((await read()).rotation).to.equal(null)
    expect((await owner.delete(`${path}/rotations`)).status).to.equal(422)
    expect((await end('over')).status).to.equal(422)
  })

  it('ends with a revocation, for both secrets', async () => {
    const { token: newer } = await rotate({ activate: 'now' })
    expect(await verify(newer)).to.equal(200)
    expect((await owner.delete(path)).status).to.equal(204)
    expect([await verify(token.token), await verify(newer)]).to.deep.equal([401, 401])
    expect(await read()).to.include({ status: 'revoked', rotation: null })
    expect(codeOf(await owner.post(`${path}/rotations`, {}))).to.deep.equal([409, 'token_revoked'])
    expect(codeOf(await end('grace'))).to.deep.equal([409, 'token_revoked'])
  })

  it('is no way past an expiry', async () => {
    await owner.patch(path, { expires_at: iso(now + 1000) })
    const { token: newer } = await rotate({ activate: 'now' })
    now += 1000
    expect([await verify(token.token), await verify(newer)]).to.deep.equal([401, 401])
  })

  it('holds to If-Match', async () => {
    const stale = await owner.post(`${path}/rotations`, {}, { 'if-match': '"7"' })
    expect(codeOf(stale)).to.deep.equal([412, 'precondition_failed'])
    expect((await owner.post(`${path}/rotations`, {}, { 'if-match': '"0"' })).status).to.equal(201)
    const ended = await owner.delete(`${path}/rotations?status=pending`, { 'if-match': '"0"' })
    expect(codeOf(ended)).to.deep.equal([412, 'precondition_failed'])
    expect(await types()).to.deep.equal(['TokenCreated', 'TokenRotationStarted'])
  })

  for (const body of [
    { grace_seconds: -1 },
    { grace_seconds: 604_801 },
    { grace_seconds: 1.5 },
    { grace_seconds: '60' },
    { activate: 'later' },
    { grace: 60 },
    [],
    null,
  ]) {
    it(`is refused for ${JSON.stringify(body)}, and changes nothing`, async () => {
      expect((await owner.post(`${path}/rotations`, body)).status).to.equal(422)
      expect((await owner.post(`${path}/rotations?x=1`, {})).status).to.equal(422)
      expect(await types()).to.deep.equal(['TokenCreated'])
    })
  }

  it('is for the account alone, and says nothing of others', async () => {
    const other = callerOf(service.url, bearer(jwtFor('acct_2')))
    expect(codeOf(await other.post(`${path}/rotations`, {}))).to.deep.equal([404, 'not_found'])
    expect(codeOf(await other.delete(`${path}/rotations?status=grace`))).to.deep.equal([404, 'not_found'])
    expect(codeOf(await callerWith(token.token).post(`${path}/rotations`, {}))).to.deep.equal([
      403,
      'token_may_not_manage',
    ])
    expect(codeOf(await owner.post(`${TOKENS}/self/rotations`, {}))).to.deep.equal([404, 'not_found'])
  })

  it('gives out no more than the one who asks has', async () => {
    const poor = callerOf(service.url, bearer(jwtFor('acct_1', { scope: 'b' })))
    expect(codeOf(await poor.post(`${path}/rotations`, {}))).to.deep.equal([403, 'scope_not_grantable'])
    const rich = callerOf(service.url, bearer(jwtFor('acct_1', { scope: 'a b' })))
    expect((await rich.post(`${path}/rotations`, {})).status).to.equal(201)
  })

  it('shows its history without any hash', async () => {
    const { token: newer } = await rotate({ grace_seconds: 60 })
    await activated(newer)
    await end('grace')
    const { body } = await owner.get(`${path}/events`)
    expect(
      body.data.slice(1).map(({ type, actor, data }: Body) => ({ type, kind: actor.kind, data })),
    ).to.deep.equal([
      {
        type: 'TokenRotationStarted',
        kind: 'jwt',
        data: {
          hint: `tkl_…${newer.slice(43, 47)}`,
          activate: 'on_first_use',
          grace_seconds: 60,
          beside: { revision: 0, hint: token.hint, retires_at: null },
        },
      },
      {
        type: 'TokenSecretActivated',
        kind: 'system',
        data: { revision: 1, hint: `tkl_…${newer.slice(43, 47)}`, grace_seconds: 60 },
      },
      {
        type: 'TokenRotationEnded',
        kind: 'jwt',
        data: {
          status: 'grace',
          hint: token.hint,
          remaining: { revision: 1, hint: `tkl_…${newer.slice(43, 47)}` },
        },
      },
    ])
  })

  describe('by itself', () => {
    const rotateSelf = (secret: string, body: object = {}) =>
      callerWith(secret).post(`${TOKENS}/self/rotations`, body)

    it('is for tokens that may', async () => {
      await owner.patch(path, { rotatable: false })
      expect(codeOf(await rotateSelf(token.token))).to.deep.equal([403, 'token_may_not_manage'])
      await owner.patch(path, { rotatable: true })
      const { status, body } = await rotateSelf(token.token)
      expect(status).to.equal(201)
      expect(body.rotation.started_by).to.deep.equal({ kind: 'token', id: token.id })
    })

    it('replaces what it has begun itself, and nothing else', async () => {
      const { body: lost } = await rotateSelf(token.token)
      const { body: got } = await rotateSelf(token.token)
      expect([await verify(lost.token), await verify(token.token)]).to.deep.equal([401, 200])
      await activated(got.token)
      expect(codeOf(await rotateSelf(got.token))).to.deep.equal([409, 'rotation_under_way'])
      expect(codeOf(await rotateSelf(token.token))).to.deep.equal([403, 'secret_retiring'])
    })

    it('cannot take over what its owner has begun, nor end it', async () => {
      await rotate()
      const refused = await rotateSelf(token.token)
      expect(codeOf(refused)).to.deep.equal([409, 'rotation_under_way'])
      expect(refused.body.detail).to.equal(
        'Somebody else has begun a rotation, and its secret was not used yet. Whoever manages the token can end the rotation.',
      )
      const ended = await callerWith(token.token).delete(`${TOKENS}/self/rotations?status=pending`)
      expect(ended.status).to.equal(405)
      expect(codeOf(await callerWith(token.token).delete(`${path}/rotations?status=pending`))).to.deep.equal([
        403,
        'token_may_not_manage',
      ])
    })

    it('is begun with the only secret, and not with one that its own use has just activated', async () => {
      const { body } = await rotateSelf(token.token)
      expect(codeOf(await rotateSelf(body.token))).to.deep.equal([409, 'rotation_under_way'])
    })

    it('is limited to ten in an hour, which takes nothing from its account', async () => {
      for (let n = 0; n < 10; n++) expect((await rotateSelf(token.token)).status).to.equal(201)
      const limited = await rotateSelf(token.token)
      expect(codeOf(limited)).to.deep.equal([429, 'rate_limited'])
      expect(limited.headers.get('ratelimit-policy')).to.equal('"own changes";q=10;w=3600')
      expect((await owner.patch(path, { name: 'still' })).status).to.equal(200)
    })
  })
})
