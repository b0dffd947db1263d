import { expect } from 'chai'
import { RateLimitedError } from '../../../src/application/ports/errors.ts'
import { apiOf } from '../../support/callers/api.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { type HostApp, startHost } from '../../support/processes/hostApp.ts'
import { jwtFor } from '../../support/processes/ledger.ts'
import type { TokenLedgerOptions } from '../../../src/settings/options.ts'

const BAD = 'no.good.jwt'

describe('verify(), for other frameworks', () => {
  let host: HostApp
  const start = async (options: TokenLedgerOptions = {}) => {
    host = await startHost((app, ledger) => app.use(ledger.verifyRoutes()).use(ledger.routes()), options)
    return apiOf(host.url)
  }
  afterEach(() => host.close())

  it('counts a use as a request does: method, route, address, user agent', async () => {
    const api = await start()
    const { id, token } = (await api.create({ name: 'CI' })).body
    await host.ledger.verify(token, {
      method: 'GET',
      route: '/orders/:id',
      ip: '::ffff:192.0.2.1',
      userAgent: 'curl/8',
    })
    await host.ledger.verify(token, {
      method: 'post',
      route: `/search?key=${token}`,
      ip: null,
      userAgent: null,
    })
    await host.ledger.verify(token, { method: 'no method', route: '', ip: 'nonsense' })
    await host.ledger.verify(token)
    await eventually(async () => {
      const { body } = await api.usage(id)
      expect(
        body.routes.map(({ method, route, requests }) => `${method} ${route} ${requests}`),
      ).to.have.members(['GET /orders/:id 1', 'POST /search 1', 'CALL verify() 2'])
      expect(body.total.outcomes).to.deep.equal({ accepted: 4 })
    })
    const radius = await api.call<{ addresses: { ip: string | null }[]; user_agents: object[] }>(
      'GET',
      `/settings/api-tokens/${id}/blast-radius`,
    )
    expect(JSON.stringify(radius.body)).to.contain('"192.0.2.1"').and.to.contain('"curl/8"')
    expect(JSON.stringify(radius.body)).not.to.contain('nonsense').and.not.to.contain(token)
  })

  it('takes null for what is not known, and refuses what is no text, by its name', async () => {
    const api = await start()
    const { id, token } = (await api.create({ name: 'CI' })).body
    const nothing = { method: null, route: null, ip: null, userAgent: null }
    expect(await host.ledger.verify(token, nothing)).to.include({ tokenId: id })
    expect(await host.ledger.verify(token, null as never)).to.include({ tokenId: id })
    for (const name of ['method', 'route', 'ip', 'userAgent']) {
      for (const value of [7, true, ['192.0.2.1'], {}, () => 'GET']) {
        const rejected = await host.ledger.verify(token, { [name]: value }).catch((error: unknown) => error)
        expect(rejected, name).to.be.instanceOf(TypeError)
        expect(String(rejected)).to.contain(`${name} must be text`)
      }
    }
    await eventually(async () => {
      expect((await api.usage(id)).body.routes).to.deep.equal([
        { method: 'CALL', route: 'verify()', requests: 2 },
      ])
    })
  })

  it('takes what was not sent for no credential, and for no failure', async () => {
    await start({ rateLimitFailuresPerMinute: 1 })
    for (const nothing of [undefined, null, undefined]) {
      expect(await host.ledger.verify(nothing, { ip: '192.0.2.1' })).to.equal(null)
    }
    expect(await host.ledger.verify('', { ip: '192.0.2.1' })).to.equal(null)
  })

  it('stores the use first in the strict mode', async () => {
    const api = await start({ auditMode: 'strict', usageFlushMs: 3_600_000 })
    const { id, token } = (await api.create({ name: 'CI' })).body
    expect(await host.ledger.verify(token, { method: 'GET', route: '/orders' })).to.include({ tokenId: id })
    const usage = (await api.usage(id)).body
    expect(usage.routes.map(({ method, route }) => [method, route])).to.deep.equal([['GET', '/orders']])
  })

  it('limits the failures of an address, together with those of requests', async () => {
    const api = await start({ rateLimitFailuresPerMinute: 3 })
    const { token } = (await api.create({ name: 'CI' })).body
    const verify = (credential: string, ip?: string) =>
      host.ledger.verify(credential, ip === undefined ? {} : { ip }).catch((error: unknown) => error)
    for (const ip of ['192.0.2.1', '::ffff:192.0.2.1', '192.0.2.1:4711'])
      expect(await verify(BAD, ip)).to.equal(null)
    const refused = await verify(BAD, '192.0.2.1')
    expect(refused).to.be.instanceOf(RateLimitedError)
    expect(refused).to.include({ code: 'rate_limited' })
    expect((refused as RateLimitedError).retryAfter).to.be.within(1, 60)
    // Other addresses are not affected, nor are callers without an address, nor good credentials.
    expect(await verify(BAD, '192.0.2.2')).to.equal(null)
    for (let i = 0; i < 10; i++) expect(await verify(BAD)).to.equal(null)
    expect(await verify(jwtFor('acct_1'), '192.0.2.1')).to.include({ kind: 'jwt' })
    expect(await verify(token)).to.include({ kind: 'token' })
    expect(await verify(token, '192.0.2.1')).to.include({ kind: 'token' })

    for (let i = 0; i < 3; i++) expect(await verify(BAD, '127.0.0.1')).to.equal(null)
    expect(await api.use('tkl_malformed')).to.equal(429)
  })
})
