import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { sha256 } from '../support/events/oldTable.ts'
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
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'

const ALL = '/admin/api-tokens'
const UNKNOWN = '01890000-0000-7000-8000-000000000000'
const HUGE = { name: 'x'.repeat(300_000) }

/** What rotations, operators and OAuth clients are refused for is the same on each of their routes. */
describe('What is refused', () => {
  let service: TestService
  let owner: Api
  let operator: Api
  let elsewhere: Api
  let token: Body
  before(async () => {
    const oauthClientsFile = join(await ownFolder(), 'clients.json')
    writeFileSync(oauthClientsFile, JSON.stringify({ gateway: sha256('s'.repeat(43)) }))
    service = await startLedger({
      oauthClientsFile,
      publicUrl: 'https://tokens.example.com/ledger',
      rateLimitFailuresPerMinute: 0,
    })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    operator = callerOf(service.url, bearer(jwtFor('ann', { scope: 'tokenledger:operator' })))
    token = await createToken(owner, { rotatable: true })
    const locked = await createToken(owner, { allowed_ips: ['192.0.2.1'] })
    elsewhere = callerOf(service.url, tokenHeader(locked.token))
  })
  after(async () => {
    await service.close()
    await endServices()
  })

  const expectStatus = (expected: number, { status, text }: Answer): void => {
    expect(status, text.slice(0, 200)).to.equal(expected)
  }

  it('of rotations, by what was sent', async () => {
    const self = callerOf(service.url, tokenHeader(token.token))
    for (const [caller, path] of [
      [self, `${TOKENS}/self/rotations`],
      [owner, `${TOKENS}/${token.id}/rotations`],
    ] as const) {
      expectStatus(412, await caller.post(path, {}, { 'if-match': '"7"' }))
      expectStatus(413, await caller.post(path, HUGE))
      expectStatus(415, await caller.post(path, 'text', { 'content-type': 'text/plain' }))
      expectStatus(422, await caller.post(path, { grace_seconds: -1 }))
    }
  })

  it('of operators’ routes, by who asks, from where, and for what', async () => {
    const of = `${ALL}/${token.id}`
    const reads = [ALL, of, `${of}/events`, `${of}/usage`, `${of}/blast-radius`, '/admin/events']
    for (const path of reads) {
      expectStatus(403, await elsewhere.get(path))
      expectStatus(404, await owner.get(path))
      expectStatus(422, await operator.get(`${path}?wrong=1`))
    }
    expectStatus(404, await operator.get(`${ALL}/${UNKNOWN}/blast-radius`))
    expectStatus(404, await operator.delete(`${ALL}/${UNKNOWN}`))
    expectStatus(422, await operator.delete(`${of}?wrong=1`))
    expectStatus(404, await owner.post('/admin/revocations', {}))
  })

  it('of OAuth clients, by what was sent', async () => {
    const basic = Buffer.from(`gateway:${'s'.repeat(43)}`).toString('base64')
    const client = callerOf(service.url, {
      authorization: `Basic ${basic}`,
      'content-type': 'application/x-www-form-urlencoded',
    })
    expectStatus(400, await client.post('/oauth/revoke', 'none=1'))
    expectStatus(413, await client.post('/oauth/revoke', `token=${'x'.repeat(300_000)}`))
    for (const path of ['', '/ledger'])
      expectStatus(200, await callerOf(service.url).get(`/.well-known/oauth-authorization-server${path}`))
  })
})
