import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import Koa from 'koa'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import type { TokenUsage } from '../../src/index.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

describe('A strict audit', () => {
  let service: TestService
  before(async () => {
    // There is no regular flush, so each stored use was stored because of its request.
    service = await startLedger({
      auditMode: 'strict',
      usageFlushMs: 3_600_000,
      verifyRequestHeaders: 'x-original',
    })
  })
  after(() => service.close())

  const metric = async (name: string) => {
    const { text } = await callerOf(service.url).get('/metrics')
    return Number(new RegExp(`^tokenledger_${name} (\\d+)$`, 'm').exec(text)?.[1])
  }

  it('stores a use before the request is served', async () => {
    const owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    const { token } = await createToken(owner)
    const seen: number[] = []
    const app = new Koa()
    app.use(service.ledger.authenticate())
    app.use(async (ctx) => {
      seen.push(await metric('events_appended_total'))
      ctx.body = 'served'
    })
    const handle = app.callback()
    const server = createServer((request, response) => void handle(request, response)).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    try {
      const before = await metric('events_appended_total')
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      expect(await (await fetch(url, { headers: tokenHeader(token) })).text()).to.equal('served')
      expect(seen).to.deep.equal([before + 1])
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })

  it('counts each use once, its outcome not known yet', async () => {
    const owner = callerOf(service.url, bearer(jwtFor('acct_2')))
    const { id, token } = await createToken(owner)
    const asToken = callerOf(service.url, tokenHeader(token))
    const answers = await Promise.all([
      ...Array.from({ length: 20 }, () => asToken.get('/auth/verify')),
      asToken.get(`${TOKENS}/self`),
      asToken.get('/auth/verify?scope=missing'),
    ])
    expect(answers.map(({ status }) => status)).to.deep.equal([...Array.from({ length: 21 }, () => 200), 403])
    await eventually(async () => {
      const { body } = await owner.get(`${TOKENS}/${id}/usage`)
      expect(body.total).to.deep.equal({ requests: 22, outcomes: { accepted: 22 } })
    })
  })

  it('names the route of a use: a pattern where one is known', async () => {
    const owner = callerOf(service.url, bearer(jwtFor('acct_3')))
    const { id, token } = await createToken(owner)
    const asToken = callerOf(service.url, tokenHeader(token))
    await asToken.get('/auth/verify', { 'X-Original-URI': '/orders/17?x=1' })
    await asToken.get(`${TOKENS}/${id}`)
    await eventually(async () => {
      const { body } = await owner.get(`${TOKENS}/${id}/usage`)
      expect(body.routes).to.have.deep.members([
        { method: 'GET', route: '/orders/17', requests: 1 },
        { method: 'GET', route: `${TOKENS}/:id`, requests: 1 },
      ])
    })
  })

  it('begins the grace with the first use of a new secret that was stored, beside which the old one goes on', async () => {
    const owner = callerOf(service.url, bearer(jwtFor('acct_5')))
    const { id, token: older } = await createToken(owner)
    const newer = (await owner.post(`${TOKENS}/${id}/rotations`, { grace_seconds: 600 })).body.token
    const use = async (secret: string) =>
      (await callerOf(service.url, tokenHeader(secret)).get('/auth/verify')).status
    const rotation = async () => (await owner.get(`${TOKENS}/${id}`)).body.rotation
    expect(await use(older)).to.equal(200)
    expect((await rotation()).status).to.equal('pending')
    const before = await metric('events_appended_total')
    expect(await use(newer)).to.equal(200)
    expect(await metric('events_appended_total'), 'the use').to.be.at.least(before + 1)
    await eventually(async () => expect((await rotation()).status).to.equal('grace'))
    expect([await use(older), await use(newer)]).to.deep.equal([200, 200])
    await eventually(async () => {
      const { secrets } = (await owner.get(`${TOKENS}/${id}/usage`)).body as unknown as TokenUsage
      expect(secrets?.map(({ requests }) => requests)).to.deep.equal([2, 2])
    })
    const { body } = await owner.get(`${TOKENS}/${id}/events`)
    const types = body.data.map(({ type }: { type: string }) => type)
    expect(types).to.deep.equal(['TokenCreated', 'TokenRotationStarted', 'TokenSecretActivated'])
  })

  it('serves nobody while uses cannot be stored: 503, and the credential stays good', async () => {
    const other = await startLedger({ auditMode: 'strict' })
    try {
      const owner = callerOf(other.url, bearer(jwtFor('acct_1')))
      const { token } = await createToken(owner)
      const asToken = callerOf(other.url, tokenHeader(token))
      expect((await asToken.get('/auth/verify')).status).to.equal(200)
      await other.ledger.close()
      const { status, headers } = await asToken.get('/auth/verify')
      expect(status).to.equal(503)
      expect(headers.has('retry-after')).to.be.true
    } finally {
      await other.close()
    }
  })

  it('holds for a call of verify() too', async () => {
    const { token } = await createToken(callerOf(service.url, bearer(jwtFor('acct_4'))))
    const before = await metric('events_appended_total')
    expect(await service.ledger.verify(token)).to.deep.include({ kind: 'token', accountId: 'acct_4' })
    expect(await metric('events_appended_total')).to.equal(before + 1)
  })
})
