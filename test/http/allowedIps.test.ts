import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import Koa from 'koa'
import {
  type Answer,
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { jwtFor, oauthClientIn, startLedger, type TestService } from '../support/processes/ledger.ts'
import { eventually } from '../support/suite/eventually.ts'

const HOME = '192.0.2.7'
const ELSEWHERE = '198.51.100.1'

describe('A token that is bound to addresses', () => {
  const lines: { fields: object; message: string }[] = []
  let folder: string
  let client: Record<string, string>
  let now = Date.now()
  let service: TestService
  let owner: Api
  let token: Body
  let path: string

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
    const { oauthClientsFile, basic } = oauthClientIn(folder)
    client = { Authorization: `Basic ${basic}`, 'Content-Type': 'application/x-www-form-urlencoded' }
    service = await startLedger({
      trustProxyHops: 1,
      oauthClientsFile,
      clock: () => now,
      maxTokensPerAccount: 1_000,
      resolveAccount: (id) => (id === 'closed' ? null : { id }),
      log: { debug() {}, warn() {}, error() {}, info: (fields, message) => lines.push({ fields, message }) },
    })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(async () => {
    await service.close()
    await rm(folder, { recursive: true })
  })
  beforeEach(async () => {
    token = await createToken(owner, { scopes: ['a'], rotatable: true, allowed_ips: [HOME, '2001:db8::/32'] })
    path = `${TOKENS}/${token.id}`
  })

  const from = (address: string | null, secret = token.token) =>
    callerOf(service.url, {
      ...tokenHeader(secret),
      ...(address === null ? {} : { 'X-Forwarded-For': address }),
    })
  const verify = async (address: string | null, secret = token.token) =>
    (await from(address, secret).get('/auth/verify')).status
  const codeOf = ({ status, body }: Answer) => [status, body.code]
  const uses = async (id = token.id): Promise<number> =>
    (await owner.get(`${TOKENS}/${id}/usage`)).body.total.requests
  const metric = async (outcome: string): Promise<number> =>
    Number(
      new RegExp(`authentications_total\\{kind="token",outcome="${outcome}"\\} (\\d+)`).exec(
        await service.ledger.metrics(),
      )?.[1] ?? 0,
    )
  const introspected = async (form: Record<string, string>): Promise<unknown> =>
    (await callerOf(service.url).post('/oauth/introspect', new URLSearchParams(form).toString(), client)).body

  it('is accepted from them, in whichever form they are written', async () => {
    for (const address of [
      HOME,
      `${HOME}:49152`,
      `::ffff:${HOME}`,
      '[::FFFF:C000:207]:443',
      '0:0:0:0:0:ffff:c000:0207',
      '2001:DB8:0:0::1',
      '[2001:db8:ffff::]:1',
    ])
      expect(await verify(address), address).to.equal(200)
  })

  it('is refused from anywhere else, with a code of its own, also where there is no address', async () => {
    for (const address of ['192.0.2.8', '::ffff:192.0.2.8', '2001:db9::', '::1', 'unknown', null]) {
      const answer = await from(address).get('/auth/verify')
      expect(codeOf(answer), String(address)).to.deep.equal([403, 'ip_not_allowed'])
      expect(answer.text).not.to.contain(HOME)
    }
  })

  it('is found, metered and logged as refused, and is not used', async () => {
    const before = await metric('ip_not_allowed')
    expect(await verify(HOME)).to.equal(200)
    for (let i = 0; i < 100; i++) expect(await verify(ELSEWHERE)).to.equal(403)
    await eventually(async () => expect(await uses()).to.equal(1))
    expect(await metric('ip_not_allowed')).to.equal(before + 100)
    const known = { address: ELSEWHERE, tokenId: token.id, accountId: 'acct_1' }
    const told = lines.filter(
      ({ fields, message }) =>
        message === 'credential refused' && 'tokenId' in fields && fields.tokenId === token.id,
    )
    // Further ones are in the summary of the minute.
    expect(told.length).to.be.within(1, 99)
    for (const { fields } of told) expect(fields).to.include({ ...known, reason: 'ip_not_allowed' })
  })

  it('is refused on every route that takes a token, before scopes and before anything is looked up', async () => {
    const { paths } = (await callerOf(service.url).get('/openapi.json')).body as unknown as {
      paths: Record<string, Record<string, { operationId: string; security: object[] }>>
    }
    const asked: string[] = []
    for (const [pattern, operations] of Object.entries(paths))
      for (const [method, { operationId, security }] of Object.entries(operations)) {
        if (!security.some((way) => 'apiToken' in way || 'jwt' in way)) continue
        const isRevoking = operationId === 'revokeSelf' || operationId === 'revokeToken'
        if (isRevoking) continue
        const target = pattern.replace('{id}', token.id).replace('{rest}', 'orders')
        const { status, text } = await from(ELSEWHERE).send(method.toUpperCase(), target)
        expect(status, `${method} ${target}`).to.equal(403)
        if (method !== 'head') expect(text).to.contain('ip_not_allowed')
        asked.push(operationId)
      }
    expect(asked).to.include.members(['listTokens', 'readSelf', 'rotateSelf', 'createToken', 'verify_get'])
    expect(codeOf(await from(ELSEWHERE).get('/auth/verify?scope=nope'))[1]).to.equal('ip_not_allowed')
    expect(codeOf(await from(HOME).get('/auth/verify?scope=nope'))[1]).to.equal('insufficient_scope')
    expect(codeOf(await from(ELSEWHERE).delete(`${TOKENS}/${(await createToken(owner)).id}`))).to.deep.equal([
      403,
      'ip_not_allowed',
    ])
  })

  it('is refused in the app of a host, where credentials are optional, too', async () => {
    const app = new Koa()
    const { ledger } = service
    app.use(ledger.authenticate({ optional: true })).use((ctx) => {
      ctx.body = 'served'
    })
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const status = async (address: string) =>
        (await fetch(url, { headers: { ...tokenHeader(token.token), 'X-Forwarded-For': address } })).status
      expect(await status(ELSEWHERE)).to.equal(403)
      expect(await status(HOME)).to.equal(200)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  it('is 401 like any other where it is unknown, revoked, expired or retired, or its account is closed', async () => {
    const bound = { allowed_ips: [HOME] }
    expect(codeOf(await from(ELSEWHERE, `${token.token.slice(0, -1)}!`).get('/auth/verify'))[0]).to.equal(401)
    const revoked = await createToken(owner, bound)
    await owner.delete(`${TOKENS}/${revoked.id}`)
    const retired = await createToken(owner, bound)
    await owner.post(`${TOKENS}/${retired.id}/rotations`, { activate: 'now', grace_seconds: 0 })
    const closed = await service.ledger.tokens.create(
      'closed',
      { name: 'a', allowedIps: [HOME] },
      { actor: 'test' },
    )
    const expiring = await createToken(owner, { ...bound, expires_at: new Date(now + 1_000).toISOString() })
    now += 1_000
    for (const secret of [revoked.token, retired.token, closed.token, expiring.token])
      for (const address of [ELSEWHERE, HOME, null])
        expect(await verify(address, secret), String(address)).to.equal(401)
  })

  it('revokes itself from anywhere, and no other', async () => {
    const other = await createToken(owner)
    expect(codeOf(await from(ELSEWHERE).delete(`${TOKENS}/${other.id}`))).to.deep.equal([
      403,
      'ip_not_allowed',
    ])
    const stale = await from(ELSEWHERE).delete(`${TOKENS}/self`, { 'If-Match': '"7"' })
    expect(codeOf(stale)).to.deep.equal([412, 'precondition_failed'])
    expect((await from(ELSEWHERE).delete(`${TOKENS}/self`)).status).to.equal(204)
    expect(await verify(HOME)).to.equal(401)
    const byId = await createToken(owner, { allowed_ips: [HOME] })
    expect((await from(null, byId.token).delete(`${TOKENS}/${byId.id}`)).status).to.equal(204)
    expect(await verify(HOME, byId.token)).to.equal(401)
  })

  it('is revoked by a gateway from anywhere', async () => {
    const form = new URLSearchParams({ token: token.token }).toString()
    const { status } = await callerOf(service.url).post('/oauth/revoke', form, client)
    expect(status).to.equal(200)
    expect(await verify(HOME)).to.equal(401)
  })

  it('is active for a gateway that says from where it is used', async () => {
    const inactive = { active: false }
    expect(await introspected({ token: token.token })).to.deep.equal(inactive)
    expect(await introspected({ token: token.token, client_ip: ELSEWHERE })).to.deep.equal(inactive)
    const own = { token: token.token, client_ip: `::ffff:${HOME}` }
    expect(await introspected(own)).to.include({ active: true, jti: token.id })
    expect(await introspected({ token: (await createToken(owner)).token })).to.include({ active: true })
  })

  it('is good in code where the address is given', async () => {
    const { ledger } = service
    expect(await ledger.verify(token.token, { ip: HOME })).to.have.property('tokenId', token.id)
    expect(await ledger.verify(token.token, { ip: `[::ffff:${HOME}]:9` })).not.to.equal(null)
    for (const ip of [ELSEWHERE, 'nowhere', '', null])
      expect(await ledger.verify(token.token, { ip }), String(ip)).to.equal(null)
    expect(await ledger.verify(token.token)).to.equal(null)
  })

  it('begins no grace from elsewhere, not even where its newer secret may revoke it', async () => {
    const { token: newer } = (await owner.post(`${path}/rotations`, {})).body
    expect(await verify(ELSEWHERE, newer)).to.equal(403)
    const stale = await from(ELSEWHERE, newer).delete(`${TOKENS}/self`, { 'If-Match': '"7"' })
    expect(stale.status).to.equal(412)
    // Written in the background if it were: the next change comes behind it.
    await owner.patch(path, { name: 'another' })
    expect((await owner.get(path)).body.rotation.status).to.equal('pending')
    await eventually(async () => {
      expect(await verify(HOME, newer)).to.equal(200)
      expect((await owner.get(path)).body.rotation.status).to.equal('grace')
    })
  })

  it('is bound by a change at once, and free again', async () => {
    expect((await owner.patch(path, { allowed_ips: [ELSEWHERE] })).status).to.equal(200)
    expect([await verify(HOME), await verify(ELSEWHERE)]).to.deep.equal([403, 200])
    expect((await owner.patch(path, { allowed_ips: null })).status).to.equal(200)
    expect([await verify(HOME), await verify(null)]).to.deep.equal([200, 200])
  })

  it('may have been closed to its account by what is no address or no block, and is not', async () => {
    for (const allowed_ips of [
      [],
      ['192.0.2.1/24'],
      ['fe80::1%eth0'],
      ['::ffff:0:0/95'],
      ['192.0.2.1:80'],
      ['localhost'],
      Array.from({ length: 101 }, (_, i) => `192.0.2.${i}`),
    ]) {
      const answer = await owner.patch(path, { allowed_ips })
      expect(codeOf(answer), JSON.stringify(allowed_ips)).to.deep.equal([422, 'validation_failed'])
      expect(answer.body.errors[0]?.pointer).to.match(/^\/allowed_ips/)
    }
    expect((await owner.get(path)).body.allowed_ips).to.deep.equal([HOME, '2001:db8::/32'])
  })
})

describe('Requests from where a token may not be used', () => {
  let now = Date.now()
  let service: TestService
  before(async () => {
    service = await startLedger({ trustProxyHops: 1, rateLimitFailuresPerMinute: 3, clock: () => now })
  })
  after(() => service.close())

  it('are failures of their address, and of nobody else', async () => {
    const owner = callerOf(service.url, { ...bearer(jwtFor('acct_1')), 'X-Forwarded-For': HOME })
    const { token } = await createToken(owner, { allowed_ips: [HOME] })
    const status = async (address: string) =>
      (await callerOf(service.url, { 'X-Forwarded-For': address }).get('/auth/verify', tokenHeader(token)))
        .status
    for (const address of [ELSEWHERE, 'unknown']) {
      for (let i = 0; i < 3; i++) expect(await status(address)).to.equal(403)
      expect(await status(address)).to.equal(429)
    }
    expect(await status(HOME)).to.equal(200)
  })

  it('are 401 from the moment on at which a secret that is in memory expires or retires', async () => {
    const owner = callerOf(service.url, { ...bearer(jwtFor('acct_2')), 'X-Forwarded-For': HOME })
    const bound = { allowed_ips: [HOME] }
    const expiring = await createToken(owner, { ...bound, expires_at: new Date(now + 10_000).toISOString() })
    const retiring = await createToken(owner, bound)
    await owner.post(`${TOKENS}/${retiring.id}/rotations`, { activate: 'now', grace_seconds: 10 })
    for (const [away, { token }] of Object.entries({ '198.51.100.2': expiring, '198.51.100.3': retiring })) {
      const status = async (address: string) =>
        (await callerOf(service.url, { 'X-Forwarded-For': address }).get('/auth/verify', tokenHeader(token)))
          .status
      for (let i = 0; i < 2; i++) expect(await status(HOME)).to.equal(200)
      expect(await status(away)).to.equal(403)
      now += 10_000
      expect(await status(away)).to.equal(401)
      now -= 10_000
    }
  })
})
