import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Api, bearer, callerOf, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { sendRaw } from '../support/callers/raw.ts'

describe('An Idempotency-Key', () => {
  let now = Date.parse('2026-11-23T12:00:00.000Z')
  let service: TestService
  let owner: Api
  let count = 0

  before(async () => {
    service = await startLedger({ clock: () => now, maxTokensPerAccount: 1000 })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(() => service.close())

  const freshKey = () => `key-${count++}`
  const create = (key: string, body: object = { name: 'x' }, api = owner) =>
    api.post(TOKENS, body, { 'Idempotency-Key': key })
  const total = async (api = owner) => (await api.get(`${TOKENS}?status=all&limit=100`)).body.data.length

  it('answers a repeat with the resource, without the credential', async () => {
    const key = freshKey()
    const first = await create(key)
    expect(first.status).to.equal(201)
    expect(first.headers.has('idempotency-replayed')).to.be.false
    expect(first.body.id[14], 'a UUID v5').to.equal('5')
    const second = await create(key)
    expect(second.status).to.equal(200)
    expect(second.headers.get('idempotency-replayed')).to.equal('true')
    expect(second.headers.get('etag')).to.equal('"0"')
    const { token, ...resource } = first.body
    expect(second.body).to.deep.equal(resource)
    expect(second.text).not.to.include(token)
  })

  it('makes one token of many requests at the same moment', async () => {
    const api = callerOf(service.url, bearer(jwtFor('acct_race')))
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => create('the-same', { name: 'x' }, api)),
    )
    const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b)
    expect(statuses).to.deep.equal([...Array.from({ length: 29 }, () => 200), 201])
    expect(new Set(answers.map(({ body }) => body.id)).size).to.equal(1)
    expect(await total(api)).to.equal(1)
    const { body } = await api.get(`${TOKENS}/${answers[0]?.body.id}/events`)
    expect(body.data).to.have.lengthOf(1)
  })

  it('refuses another body, at the same moment too', async () => {
    const key = freshKey()
    await create(key)
    for (const body of [
      { name: 'y' },
      { name: 'x', scopes: ['a'] },
      { name: 'x', expires_at: '2030-01-01T00:00:00Z' },
    ]) {
      const { status, body: problem } = await create(key, body)
      expect(status).to.equal(422)
      expect(problem.code).to.equal('idempotency_key_reused')
    }
    const api = callerOf(service.url, bearer(jwtFor('acct_race_2')))
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => create('one', { name: `n${i % 2}` }, api)),
    )
    const of = (wanted: number) => answers.filter(({ status }) => status === wanted).length
    expect([of(201), of(200), of(422)]).to.deep.equal([1, 9, 10])
    expect(await total(api)).to.equal(1)
  })

  it('compares bodies after normalisation', async () => {
    const key = freshKey()
    const { body } = await create(key, {
      name: 'Café',
      scopes: ['a', 'b'],
      expires_at: '2030-01-01T00:00:00Z',
    })
    for (const same of [
      { scopes: ['a', 'b', 'a'], name: '  Cafe\u0301 ', expires_at: '2030-01-01T00:00:00.000Z' },
      { name: 'Café', expires_at: '2030-01-01T01:00:00.0001+01:00', scopes: ['a', 'b'] },
    ]) {
      const repeat = await create(key, same)
      expect(repeat.status).to.equal(200)
      expect(repeat.body.id).to.equal(body.id)
    }
    const bare = freshKey()
    await create(bare, { name: 'x' })
    expect((await create(bare, { name: 'x', scopes: [], expires_at: null })).status).to.equal(200)
  })

  it('compares before the clock: a repeat whose expires_at has passed is a repeat', async () => {
    const key = freshKey()
    const body = { name: 'x', expires_at: new Date(now + 1000).toISOString() }
    await create(key, body)
    now += 5000
    const { status, body: resource } = await create(key, body)
    expect(status).to.equal(200)
    expect(resource.status).to.equal('expired')
    expect((await create(freshKey(), body)).status).to.equal(422)
  })

  it('shows on a repeat the resource as it is now', async () => {
    const key = freshKey()
    const { body } = await create(key, { name: 'before' })
    await owner.patch(`${TOKENS}/${body.id}`, { name: 'after' })
    const changed = await create(key, { name: 'before' })
    expect(changed.status).to.equal(200)
    expect(changed.body).to.include({ name: 'after', revision: 1 })
    expect(changed.headers.get('etag')).to.equal('"1"')
    await owner.delete(`${TOKENS}/${body.id}`)
    expect((await create(key, { name: 'before' })).body.status).to.equal('revoked')
  })

  it('is one account’s own: the same key elsewhere makes another token', async () => {
    const key = freshKey()
    const other = callerOf(service.url, bearer(jwtFor('acct_2')))
    const mine = await create(key)
    const theirs = await create(key, { name: 'x' }, other)
    expect(theirs.status).to.equal(201)
    expect(theirs.body.id).not.to.equal(mine.body.id)
    expect((await other.get(`${TOKENS}/self`, tokenHeader(theirs.body.token))).body.account_id).to.equal(
      'acct_2',
    )
  })

  it('is not spent by a request that was refused', async () => {
    const key = freshKey()
    expect((await create(key, { name: '' })).status).to.equal(422)
    expect((await create(key, { name: 'x' })).status).to.equal(201)
  })

  it('answers a repeat even where the account is at its limit', async () => {
    const limited = await startLedger({ maxTokensPerAccount: 1 })
    try {
      const api = callerOf(limited.url, bearer(jwtFor('acct_1')))
      expect((await create('a', { name: 'x' }, api)).status).to.equal(201)
      expect((await create('a', { name: 'x' }, api)).status).to.equal(200)
      expect((await create('b', { name: 'x' }, api)).body.code).to.equal('token_limit_reached')
    } finally {
      await limited.close()
    }
  })

  it('works across a restart', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
    const first = await startLedger({}, folder)
    const { body } = await create('a', { name: 'x' }, callerOf(first.url, bearer(jwtFor('acct_1'))))
    await first.close()
    const second = await startLedger({}, folder)
    try {
      const repeat = await create('a', { name: 'x' }, callerOf(second.url, bearer(jwtFor('acct_1'))))
      expect(repeat.status).to.equal(200)
      expect(repeat.body.id).to.equal(body.id)
    } finally {
      await second.close()
      await rm(folder, { recursive: true })
    }
  })

  it('has 1 to 255 visible ASCII characters; another is 400, and makes nothing', async () => {
    const before = await total()
    for (const key of ['!', '~'.repeat(255)]) expect((await create(key)).status).to.equal(201)
    for (const key of ['', ' ', 'a b', 'x'.repeat(256), 'schlüssel', 'a\tb']) {
      const { status, text } = await sendRaw(service.url, 'POST', TOKENS, [
        ['Authorization', `Bearer ${jwtFor('acct_1')}`],
        ['Idempotency-Key', key],
      ])
      expect(status, key).to.equal(400)
      expect(JSON.parse(text).code, key).to.equal('invalid_idempotency_key')
    }
    expect(await total()).to.equal(before + 2)
  })

  it('may be sent once only', async () => {
    const { status, text } = await sendRaw(service.url, 'POST', TOKENS, [
      ['Authorization', `Bearer ${jwtFor('acct_1')}`],
      ['Idempotency-Key', 'a'],
      ['Idempotency-Key', 'a'],
    ])
    expect(status).to.equal(400)
    expect(JSON.parse(text).code).to.equal('invalid_idempotency_key')
  })
})
