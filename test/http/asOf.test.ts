import { expect } from 'chai'
import type { TokenDocument } from '../../projections/tokens.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import { createTokenAt } from '../../src/application/tokens/asOf.ts'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { rejection } from '../contract/fixtures.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { memoryStore } from '../support/stores/memoryStore.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

describe('Reading a token as it was', () => {
  const start = Date.parse('2026-03-01T10:00:00.000Z')
  const time = (millis: number) => new Date(start + millis).toISOString()
  let now = start
  let service: TestService
  let owner: Api
  let token: Body
  let path: string
  const at = (moment: string | number) => owner.get(`${path}?at=${encodeURIComponent(moment)}`)

  before(async () => {
    service = await startLedger({ clock: () => now })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    token = await createToken(owner, { name: 'first', scopes: ['a'], expires_at: time(20 * DAY) })
    path = `${TOKENS}/${token.id}`
    now = start + HOUR
    await owner.patch(path, { name: 'second' })
    now = start + 2 * HOUR
    await owner.patch(path, { scopes: [] })
    now = start + 3 * HOUR
    await owner.delete(`${path}?reason=leaked`)
  })
  after(() => service.close())

  it('shows name, scopes, expiry, status and revision of that moment, and not what is later', async () => {
    const { status, body } = await at(time(HOUR + 1))
    expect(status).to.equal(200)
    const { token: _, last_accessed: __, ...created } = token
    expect(body).to.deep.equal({
      ...created,
      name: 'second',
      updated_at: time(HOUR),
      revision: 1,
      at: time(HOUR + 1),
    })
  })

  it('takes an event in from its own millisecond on', async () => {
    expect((await at(time(HOUR - 1))).body).to.include({ name: 'first', revision: 0 })
    expect((await at(time(HOUR))).body).to.include({ name: 'second', revision: 1 })
    expect((await at(time(3 * HOUR - 1))).body).to.include({ status: 'active', revoked_at: null })
    expect((await at(time(3 * HOUR))).body).to.include({ status: 'revoked', revoked_at: time(3 * HOUR) })
  })

  it('takes a revision in place of a time, which is then that of its event', async () => {
    expect((await at(0)).body).to.include({ name: 'first', revision: 0, at: time(0) })
    expect((await at(2)).body).to.include({ revision: 2, status: 'active', at: time(2 * HOUR) })
  })

  it('takes times of other zones, and answers in UTC', async () => {
    expect((await at('2026-03-01T12:30:00+01:00')).body).to.include({ revision: 1, at: time(1.5 * HOUR) })
  })

  it('assesses the status by the clock of that moment, not of now', async () => {
    const short = await createToken(owner, { expires_at: time(4 * HOUR) })
    now = start + 5 * HOUR
    const then = (millis: number) => owner.get(`${TOKENS}/${short.id}?at=${time(millis)}`)
    expect((await owner.get(`${TOKENS}/${short.id}`)).body.status).to.equal('expired')
    expect((await then(4 * HOUR - 1)).body.status).to.equal('active')
    expect((await then(4 * HOUR)).body.status).to.equal('expired')
  })

  it('shows of the future what is known now: nothing but the expiry is foretold', async () => {
    const kept = await createToken(owner, { expires_at: time(10 * DAY) })
    const then = (millis: number) => owner.get(`${TOKENS}/${kept.id}?at=${time(millis)}`)
    expect((await then(9 * DAY)).body.status).to.equal('active')
    expect((await then(11 * DAY)).body.status).to.equal('expired')
  })

  it('has no ETag: a change is never based on the past', async () => {
    for (const moment of [0, time(HOUR)]) expect((await at(moment)).headers.has('etag')).to.equal(false)
    expect((await owner.get(path)).headers.get('etag')).to.equal('"3"')
  })

  it('answers 404 before the token was, and for a revision it does not have', async () => {
    for (const moment of [time(-1), '1999-01-01T00:00:00Z', 4, 999_999_999]) {
      const { status, body } = await at(moment)
      expect([status, body.code], String(moment)).to.deep.equal([404, 'not_found'])
    }
  })

  it('answers 422 to what is neither a time nor a revision', async () => {
    for (const moment of ['', 'noon', '-1', '1.5', '2026-03-01', '2026-03-01T10:00:00', '9'.repeat(10)]) {
      const { status, body } = await at(moment)
      expect(status, moment).to.equal(422)
      expect(body.errors).to.deep.equal([
        { pointer: '?at', message: 'must be an RFC 3339 time or a revision' },
      ])
    }
    const twice = await owner.get(`${path}?at=0&at=1`)
    expect([twice.status, twice.body.errors[0]?.pointer]).to.deep.equal([422, '?at'])
  })

  it('answers the same 404 for a foreign, an unknown and a malformed id, whatever the moment', async () => {
    const stranger = callerOf(service.url, bearer(jwtFor('acct_2')))
    const bare = (await stranger.get(path)).body
    for (const id of [token.id, '01890000-0000-7000-8000-000000000000', 'nonsense']) {
      for (const moment of ['0', '99', time(HOUR), time(-1), 'noon']) {
        const { status, body } = await stranger.get(`${TOKENS}/${id}?at=${moment}`)
        expect(status).to.equal(404)
        expect({ ...body, request_id: '' }).to.deep.equal({ ...bare, request_id: '' })
      }
    }
  })

  it('is for tokens too, and for a token on itself', async () => {
    const other = await createToken(owner, { name: 'asks' })
    const asToken = callerOf(service.url, tokenHeader(other.token))
    expect((await asToken.get(`${path}?at=0`)).body.name).to.equal('first')
    const self = await asToken.get(`${TOKENS}/self?at=0`)
    expect(self.body).to.include({ id: other.id, revision: 0, name: 'asks' })
    expect((await asToken.get(`${TOKENS}/self?at=7`)).status).to.equal(404)
    expect((await asToken.get(`${TOKENS}/self?at=noon`)).status).to.equal(422)
    expect((await owner.get(`${TOKENS}/self?at=0`)).status).to.equal(404)
  })

  it('takes events that are gone for damage, never for a token that was not', async () => {
    const seen = { id: token.id, revision: 0, revokedAt: null, chain: 'c' } as TokenDocument
    const lost = await rejection(createTokenAt(memoryStore().store, { error() {} })(seen, { revision: 0 }))
    expect(lost).to.be.instanceOf(DamagedError)
  })
})
