import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import { link, storedChain } from '../../src/domain/chain.ts'
import type { NewEvent } from '../../src/domain/events.ts'
import { tokenStream } from '../../src/domain/streams.ts'
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
import { endServices, ownFolder } from '../support/processes/service.ts'

const UNKNOWN = '01890000-0000-7000-8000-000000000000'

describe('Changing a token', () => {
  let now = Date.parse('2026-11-23T12:00:00.000Z')
  let service: TestService
  let owner: Api
  let token: Body
  let path: string

  before(async () => {
    service = await startLedger({ clock: () => now, maxTokensPerAccount: 1000 })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(() => service.close())
  beforeEach(async () => {
    token = await createToken(owner, { name: 'before', scopes: ['a'], expires_at: '2027-01-01T00:00:00Z' })
    path = `${TOKENS}/${token.id}`
  })

  const revoked = async () => {
    const { id } = await createToken(owner)
    await owner.delete(`${TOKENS}/${id}`)
    return `${TOKENS}/${id}`
  }
  const history = async () => (await owner.get(`${path}/events`)).body.data

  it('changes what is named and leaves the rest', async () => {
    now += 1000
    const { status, headers, body } = await owner.patch(path, { name: ' after ' })
    const { token: _, ...resource } = token
    expect(status).to.equal(200)
    expect(headers.get('etag')).to.equal('"1"')
    expect(body).to.deep.equal({
      ...resource,
      name: 'after',
      revision: 1,
      updated_at: new Date(now).toISOString(),
    })
    expect((await owner.get(path)).body).to.deep.equal(body)
    expect((await owner.patch(path, { scopes: ['b', 'c'] })).body).to.include({ name: 'after', revision: 2 })
  })

  it('takes both media types', async () => {
    for (const type of [
      'application/json',
      'application/merge-patch+json',
      'Application/JSON; charset=UTF-8',
    ]) {
      const { status } = await owner.patch(path, JSON.stringify({ name: type }), { 'Content-Type': type })
      expect(status, type).to.equal(200)
    }
  })

  it('takes `expires_at: null` for no expiry, `scopes: null` for none, and refuses `name: null`', async () => {
    expect((await owner.patch(path, { expires_at: null })).body.expires_at).to.equal(null)
    expect((await owner.patch(path, { scopes: null })).body.scopes).to.deep.equal([])
    const { status, body } = await owner.patch(path, { name: null })
    expect(status).to.equal(422)
    expect(body.errors[0]?.pointer).to.equal('/name')
  })

  it('acts on the token at once', async () => {
    const verify = () => callerOf(service.url, tokenHeader(token.token)).get('/auth/verify?scope=b')
    expect((await verify()).status).to.equal(403)
    await owner.patch(path, { scopes: ['b'] })
    expect((await verify()).status).to.equal(200)
    await owner.patch(path, { expires_at: new Date(now + 1).toISOString() })
    now += 1
    expect((await verify()).status).to.equal(401)
  })

  it('extends a token that has expired', async () => {
    await owner.patch(path, { expires_at: new Date(now + 1000).toISOString() })
    now += 5000
    expect((await owner.get(path)).body.status).to.equal('expired')
    expect((await owner.patch(path, { name: 'still mine' })).body.status).to.equal('expired')
    expect(
      (await owner.patch(path, { expires_at: new Date(now + 1000).toISOString() })).body.status,
    ).to.equal('active')
    expect((await callerOf(service.url, tokenHeader(token.token)).get('/auth/verify')).status).to.equal(200)
  })

  it('writes no event for what changes nothing', async () => {
    const same = [
      {},
      { name: 'before' },
      { name: ' before ' },
      { scopes: ['a', 'a'] },
      { expires_at: '2027-01-01T01:00:00+01:00' },
      { name: 'before', scopes: ['a'], expires_at: '2027-01-01T00:00:00.000Z' },
    ]
    for (const body of same) {
      const answer = await owner.patch(path, body)
      expect(answer.status, JSON.stringify(body)).to.equal(200)
      expect(answer.headers.get('etag')).to.equal('"0"')
      expect(answer.body.updated_at).to.equal(token.updated_at)
    }
    expect(await history()).to.have.lengthOf(1)
  })

  it('does not validate what stays as it is: an expiry that has passed', async () => {
    const expiresAt = new Date(now + 1000).toISOString()
    await owner.patch(path, { expires_at: expiresAt })
    now += 5000
    const same = { name: 'before', scopes: ['a'], expires_at: expiresAt }
    const unchanged = await owner.patch(path, same)
    expect([unchanged.status, unchanged.body.revision]).to.deep.equal([200, 1])
    const renamed = await owner.patch(path, { ...same, name: 'after' })
    expect(renamed.status).to.equal(200)
    expect(renamed.body).to.include({ name: 'after', expires_at: expiresAt, status: 'expired', revision: 2 })
    expect((await history()).at(-1)?.data).to.deep.equal({ name: 'after' })
    const shorter = { ...same, expires_at: new Date(now - 2000).toISOString() }
    expect((await owner.patch(path, shorter)).status, 'another time in the past').to.equal(422)
  })

  it('checks in order: 404, then the body, then revoked, then If-Match', async () => {
    const stale = { 'If-Match': '"7"' }
    expect((await owner.patch(`${TOKENS}/${UNKNOWN}`, { name: '' }, stale)).status).to.equal(404)
    expect(
      (await owner.patch(`${TOKENS}/${UNKNOWN}`, '{"broken', { 'Content-Type': 'text/plain' })).status,
    ).to.equal(404)
    const gone = await revoked()
    expect((await owner.patch(gone, { name: '' }, stale)).status).to.equal(422)
    expect((await owner.patch(gone, { nonsense: 1 }, stale)).status).to.equal(422)
    expect(
      (await owner.patch(gone, '{"broken', { 'Content-Type': 'application/json', ...stale })).status,
    ).to.equal(400)
    expect((await owner.patch(path, { name: '' }, stale)).status).to.equal(422)
    const conflict = await owner.patch(gone, { name: 'x' }, stale)
    expect(conflict.status).to.equal(409)
    expect(conflict.body.code).to.equal('token_revoked')
    expect((await owner.patch(gone, {})).status, 'even with nothing to change').to.equal(409)
    expect((await owner.patch(path, { name: 'x' }, stale)).status).to.equal(412)
    expect((await owner.patch(path, {}, stale)).status, 'even with nothing to change').to.equal(412)
    expect(await history()).to.have.lengthOf(1)
  })

  it('takes an If-Match that names the revision, strongly', async () => {
    expect((await owner.patch(path, { name: 'b' }, { 'If-Match': '"0"' })).status).to.equal(200)
    for (const value of ['"0"', 'W/"1"', '1', '""', '', '"1', 'nonsense', '"01"', '"1.0"', '"-1"']) {
      const { status, body } = await owner.patch(path, { name: 'c' }, { 'If-Match': value })
      expect(status, value).to.equal(412)
      expect(body.code).to.equal('precondition_failed')
    }
    expect((await owner.patch(path, { name: 'c' }, { 'If-Match': '"0", "1"' })).body.revision).to.equal(2)
    expect((await owner.patch(path, { name: 'd' }, { 'If-Match': '*' })).body.revision).to.equal(3)
  })

  it('says that a weak ETag matches nothing, and takes a strong one beside it', async () => {
    for (const value of ['W/"0"', 'W/"7"', '"7", W/"0"', 'W/"0" , W/"1"', 'W/"0", *']) {
      for (const answer of [
        await owner.patch(path, { name: 'c' }, { 'If-Match': value }),
        await owner.delete(path, { 'If-Match': value }),
      ]) {
        expect([answer.status, answer.body.code], value).to.deep.equal([412, 'precondition_failed'])
        expect(answer.body.detail, value).to.match(/weak/)
      }
    }
    const stale = await owner.patch(path, { name: 'c' }, { 'If-Match': '"7"' })
    expect(stale.body.detail)
      .to.match(/has changed/)
      .and.not.match(/weak/)
    expect((await owner.patch(path, { name: 'c' }, { 'If-Match': 'W/"0", "0"' })).status).to.equal(200)
    expect((await owner.patch(path, { name: 'd' }, { 'If-Match': ' * ' })).status).to.equal(200)
  })

  it('lets one of many changes on the same revision win', async () => {
    const answers = await Promise.all(
      Array.from({ length: 15 }, (_, i) => owner.patch(path, { name: `n${i}` }, { 'If-Match': '"0"' })),
    )
    expect(answers.filter(({ status }) => status === 200)).to.have.lengthOf(1)
    expect(answers.filter(({ status }) => status === 412)).to.have.lengthOf(14)
    expect(await history()).to.have.lengthOf(2)
  })

  it('lets changes at the same moment follow one another, and loses none', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => owner.patch(path, { name: `n${i}` })),
    )
    expect(answers.map(({ body }) => body.revision).sort((a, b) => a - b)).to.deep.equal([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ])
    expect((await owner.get(path)).body.revision).to.equal(10)
  })

  it('keeps to the rules of creation', async () => {
    const bad = [
      { name: '' },
      { name: 'a\u202eb' },
      { expires_at: '2020-01-01T00:00:00Z' },
      { expires_at: 'x' },
      { scopes: ['A'] },
      { id: 'x' },
      { account_id: 'acct_2' },
      { token: 'x' },
      { revoked_at: null },
      [],
      [{ op: 'replace', path: '/name', value: 'x' }],
      'text',
      null,
      1,
    ]
    for (const body of bad) {
      const text = JSON.stringify(body)
      const { status } = await owner.patch(path, text, { 'Content-Type': 'application/json' })
      expect(status, text).to.equal(422)
    }
    expect((await owner.patch(`${path}?x=1`, { name: 'x' })).status).to.equal(422)
    expect(await history()).to.have.lengthOf(1)
  })

  it('is not for tokens, not even on themselves: 403 before any look-up', async () => {
    const asToken = callerOf(service.url, tokenHeader(token.token))
    expect((await asToken.patch(`${TOKENS}/self`, { name: 'x' })).status, 'there is no such route').to.equal(
      405,
    )
    for (const id of [token.id, UNKNOWN, 'nonsense']) {
      const { status, body } = await asToken.patch(`${TOKENS}/${id}`, { name: 'x' })
      expect(status, id).to.equal(403)
      expect(body.code).to.equal('token_may_not_manage')
    }
  })

  it('never shows the credential, and keeps last_accessed', async () => {
    const { text } = await owner.patch(path, { name: 'x' })
    expect(text).not.to.include(token.token)
  })
})

describe('Changing a token that was made under other rules', () => {
  const FORMS = { name: ' two\u202elines\u0007 ', scopes: ['a'], expires_at: null }
  let service: TestService
  let owner: Api
  let id: string

  beforeEach(async () => {
    const folder = await ownFolder()
    service = await startLedger({}, folder)
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    ;({ id } = await createToken(owner, { scopes: ['a'] }))
    await service.close()
    const store = await openSqliteEventStore(`${folder}/events.db`)
    const [last] = await store.readStream(tokenStream(id))
    if (!last) throw new Error('no event')
    const event = { ...last, id: ids.random(), type: 'TokenUpdated', data: { name: FORMS.name } } as NewEvent
    await store.append(tokenStream(id), 0, link(storedChain(last), [event]))
    await store.close()
    service = await startLedger({ tokenMaxLifetimeDays: 30, maxTokensPerAccount: 1 }, folder)
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  afterEach(async () => {
    await service.close()
    await endServices()
  })

  it('takes all of it as it is, and writes no event', async () => {
    const { status, body } = await owner.patch(`${TOKENS}/${id}`, FORMS)
    expect(status, JSON.stringify(body)).to.equal(200)
    expect(body).to.include({ name: FORMS.name, revision: 1 })
    expect((await owner.get(`${TOKENS}/${id}/events`)).body.data).to.have.lengthOf(2)
  })

  it('validates what is changed, and nothing else', async () => {
    const path = `${TOKENS}/${id}`
    expect((await owner.patch(path, { ...FORMS, name: 'a\u202eb' })).status).to.equal(422)
    expect((await owner.patch(path, { ...FORMS, scopes: ['Orders:WRITE'] })).status).to.equal(422)
    const { status, body } = await owner.patch(path, { ...FORMS, name: 'new' })
    expect([status, body.name, body.revision]).to.deep.equal([200, 'new', 2])
    expect((await owner.get(`${path}/events`)).body.data.at(-1)?.data).to.deep.equal({ name: 'new' })
  })
})
