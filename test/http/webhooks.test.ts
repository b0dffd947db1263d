import { expect } from 'chai'
import { Webhook } from 'standardwebhooks'
import type { AccountEvent } from '../../src/index.ts'
import { type Api, bearer, callerOf, createToken, TOKENS } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import {
  type Behaviour,
  startWebhookServer,
  WEBHOOK_SECRET,
  type WebhookServer,
} from '../support/processes/webhookServer.ts'
import { eventually } from '../support/suite/eventually.ts'

describe('Webhooks', () => {
  let receiver: WebhookServer
  let service: TestService
  let owner: Api

  const start = async (options: Parameters<typeof startLedger>[0] = {}) => {
    service = await startLedger({ webhookUrl: receiver.url, webhookSecret: WEBHOOK_SECRET, ...options })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  }
  beforeEach(async () => {
    receiver = await startWebhookServer()
  })
  afterEach(async () => {
    await service.close()
    expect(receiver.problems).to.deep.equal([])
    await receiver.close()
  })

  const come = (n: number) => eventually(() => expect(receiver.taken).to.have.length.at.least(n))

  it('tell what happened as the feed does, signed as Standard Webhooks are, and of no secret', async () => {
    await start()
    const { id, token } = await createToken(owner, { name: 'one', scopes: ['a'] })
    await owner.patch(`${TOKENS}/${id}`, { name: 'uno' })
    await owner.delete(`${TOKENS}/${id}?reason=lost`)
    await come(3)
    const { data } = (await owner.get(`${TOKENS}/events`)).body
    expect(receiver.taken.map(({ type }) => type)).to.deep.equal([
      'token.created',
      'token.updated',
      'token.revoked',
    ])
    receiver.taken.forEach(({ id: webhookId, body, headers }, n) => {
      expect(body.data).to.deep.equal(data[n])
      expect(body.timestamp).to.equal(data[n]?.at)
      expect(Object.keys(body)).to.deep.equal(['type', 'timestamp', 'data'])
      expect(webhookId).to.equal(data[n]?.id)
      expect(headers['webhook-timestamp']).to.match(/^\d{10}$/)
      expect(headers['content-type']).to.equal('application/json')
    })
    const text = JSON.stringify(receiver.taken.map(({ body }) => body))
    expect(text).not.to.include(token)
    expect(text).not.to.match(/hash|[0-9a-f]{64}|127\.0\.0\.1/i)
  })

  it('are signed with each secret while there are several', async () => {
    const old = `whsec_${Buffer.alloc(24, 3).toString('base64')}`
    await start({ webhookSecret: `${old} ${WEBHOOK_SECRET}` })
    await createToken(owner)
    await come(1)
    const [first] = receiver.taken
    const headers = first?.headers as Record<string, string>
    expect(headers['webhook-signature']?.split(' ')).to.have.lengthOf(2)
    expect(new Webhook(old).verify(JSON.stringify(first?.body), headers)).to.deep.equal(first?.body)
  })

  const inASecond = () => new Date(Date.now() + 1_000).toUTCString()
  const notTaken: [what: string, behaviour: () => Behaviour][] = [
    ['500', () => 500],
    ['404', () => 404],
    ['a redirect', () => ({ status: 307, headers: { location: '/elsewhere' } })],
    ['a closed connection', () => 'close'],
    ['429 with a time', () => ({ status: 429, headers: { 'retry-after': '1' } })],
    ['429 with a date', () => ({ status: 429, headers: { 'retry-after': inASecond() } })],
  ]
  for (const [what, behaviour] of notTaken) {
    it(`come again after ${what}, with the same id and a time of their own; redirects are not followed`, async () => {
      await start()
      receiver.behave = (_, n) => (n === 1 ? behaviour() : 200)
      await createToken(owner)
      await come(1)
      expect(receiver.received).to.have.lengthOf(2)
      const [first, second] = receiver.received
      expect(second?.id).to.equal(first?.id)
      expect(second?.body).to.deep.equal(first?.body)
      const times = receiver.received.map(({ headers }) => Number(headers['webhook-timestamp']))
      expect(times[1]).to.be.at.least((times[0] ?? 0) + 1)
    })
  }

  it('are not held up by one token whose events fail, nor by one that is never answered', async () => {
    await start()
    const bad = await createToken(owner)
    const slow = await createToken(owner)
    await come(2)
    receiver.behave = ({ tokenId }) => (tokenId === bad.id ? 500 : tokenId === slow.id ? 'hang' : 200)
    for (const { id } of [bad, slow]) await owner.patch(`${TOKENS}/${id}`, { name: 'x' })
    for (let n = 0; n < 5; n++) await createToken(owner)
    await come(7)
    await eventually(async () => {
      const metrics = await service.ledger.metrics()
      expect(metrics).to.match(/tokenledger_deliveries_waiting{of="webhooks"} 2/)
      expect(metrics).to.match(/tokenledger_deliveries_oldest_seconds{of="webhooks"} [0-9.]+/)
      expect(metrics).to.match(/tokenledger_delivery_failures_total{of="webhooks"} [1-9]/)
    })
  })

  it('stop at 410, and that is shown', async () => {
    await start()
    receiver.behave = () => 410
    await createToken(owner)
    await eventually(async () =>
      expect(await service.ledger.metrics()).to.match(/tokenledger_deliveries_stopped{of="webhooks"} 1/),
    )
    await createToken(owner)
    expect(receiver.received).to.have.lengthOf(1)
  })

  it('are told to a function of the host as well, at its own pace, and a throw is a failure', async () => {
    const seen: AccountEvent[] = []
    let throws = true
    await start({
      onEvent(event) {
        if (throws) {
          throws = false
          throw new Error('not now')
        }
        seen.push(event)
      },
    })
    const { id } = await createToken(owner, { expires_at: '2099-01-01T00:00:00Z' })
    await owner.delete(`${TOKENS}/${id}`)
    await come(2)
    await eventually(() =>
      expect(seen.map(({ type }) => type)).to.deep.equal(['TokenCreated', 'TokenRevoked']),
    )
    expect(seen[0]).to.deep.include({ tokenId: id, accountId: 'acct_1', revision: 0 })
    expect(seen[0]?.data).to.include({ expiresAt: '2099-01-01T00:00:00.000Z' })
    expect(JSON.stringify(seen)).not.to.match(/hash/i)
  })
})
