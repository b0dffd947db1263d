import { expect } from 'chai'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const DAY_MS = 86_400_000

describe('Creating a token', () => {
  const now = Date.parse('2026-11-23T12:00:00.000Z')
  let service: TestService
  let owner: Api

  before(async () => {
    service = await startLedger({ clock: () => now })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(() => service.close())

  it('answers 201 with the resource, its place, its ETag and the credential', async () => {
    const { status, headers, body } = await owner.post(TOKENS, { name: 'CI deploy' })
    const { id, token, hint } = body
    expect(status).to.equal(201)
    expect(headers.get('location')).to.equal(`${TOKENS}/${id}`)
    expect(headers.get('etag')).to.equal('"0"')
    expect(headers.get('content-type')).to.equal('application/json; charset=utf-8')
    expect(token).to.match(/^tkl_[0-9A-Za-z]{49}$/)
    expect(body).to.deep.equal({
      id,
      account_id: 'acct_1',
      name: 'CI deploy',
      description: null,
      metadata: {},
      hint: `tkl_…${token.slice(43, 47)}`,
      scopes: [],
      allowed_ips: null,
      rotatable: false,
      rotation: null,
      status: 'active',
      created_by: { kind: 'jwt', id: 'acct_1' },
      created_at: '2026-11-23T12:00:00.000Z',
      updated_at: '2026-11-23T12:00:00.000Z',
      last_accessed: null,
      expires_at: null,
      revoked_at: null,
      revision: 0,
      token,
    })
    expect(hint).to.have.lengthOf(9)
  })

  it('gives a credential that works at once, and shows it nowhere else', async () => {
    const { id, token } = await createToken(owner)
    expect((await owner.get(`${TOKENS}/self`, tokenHeader(token))).status).to.equal(200)
    for (const path of [`${TOKENS}/${id}`, TOKENS, `${TOKENS}/${id}/events`, `${TOKENS}/${id}/usage`]) {
      const { status, text } = await owner.get(path)
      expect(status).to.equal(200)
      expect(text).not.to.include(token)
    }
  })

  it('gives every token an id (UUID v7) and a credential of its own', async () => {
    const created = await Promise.all(Array.from({ length: 20 }, () => createToken(owner)))
    expect(new Set(created.map(({ id }) => id)).size).to.equal(20)
    expect(new Set(created.map(({ token }) => token)).size).to.equal(20)
    for (const { id } of created) expect(id[14]).to.equal('7')
  })

  it('keeps the name trimmed and in NFC', async () => {
    const { name } = await createToken(owner, { name: '  Cafe\u0301 ☕️  ' })
    expect(name).to.equal('Caf\u00e9 ☕️')
  })

  it('takes a description without any text for none', async () => {
    for (const description of ['', '  ', '\n\t', null]) {
      const token = await createToken(owner, { description })
      expect(token.description, JSON.stringify(description)).to.equal(null)
      await owner.patch(`${TOKENS}/${token.id}`, { description: 'a' })
      const { body } = await owner.patch(`${TOKENS}/${token.id}`, { description })
      expect(body.description, JSON.stringify(description)).to.equal(null)
      expect(body.revision).to.equal(2)
    }
  })

  it('counts a name in characters, 1 to 100 of them', async () => {
    for (const name of ['x', 'é'.repeat(100), '🚀'.repeat(100), ` ${'x'.repeat(100)} `]) {
      expect((await owner.post(TOKENS, { name })).status, name).to.equal(201)
    }
    for (const name of ['', '   ', 'x'.repeat(101), '🚀'.repeat(101), '\u00a0\u3000']) {
      const { status, body } = await owner.post(TOKENS, { name })
      expect(status, name).to.equal(422)
      expect(body.errors.map(({ pointer }) => pointer)).to.deep.equal(['/name'])
    }
  })

  it('refuses control and bidirectional-override characters in a name', async () => {
    for (const odd of ['\u0000', '\n', '\u007f', '\u0085', '\u202e', '\u2066', '\u2028', '\ud800']) {
      const { status, body } = await owner.post(TOKENS, { name: `a${odd}b` })
      expect(status, JSON.stringify(odd)).to.equal(422)
      expect(body.code).to.equal('validation_failed')
    }
  })

  it('keeps names of other scripts as they are', async () => {
    for (const name of [
      'مفتاح',
      'キー',
      '👩‍👩‍👧',
      "O'Brien; DROP TABLE tokens",
      '<script>alert(1)</script>',
      '$ne',
    ]) {
      expect((await createToken(owner, { name })).name).to.equal(name.normalize('NFC'))
    }
  })

  it('takes scopes once each, in their order, at most 32', async () => {
    expect(
      (await createToken(owner, { scopes: ['b', 'a:read', 'b', '*'.padStart(2, 'a')] })).scopes,
    ).to.deep.equal(['b', 'a:read', 'a*'])
    const many = Array.from({ length: 32 }, (_, i) => `s${i}`)
    expect((await createToken(owner, { scopes: many })).scopes).to.deep.equal(many)
    const bad: unknown[] = [
      [...many, 'one-more'],
      ['A'],
      [''],
      ['-a'],
      ['a b'],
      ['x'.repeat(65)],
      ['é'],
      [1],
      [null],
      'a',
      null,
    ]
    for (const scopes of bad) {
      const { status, body } = await owner.post(TOKENS, { name: 'x', scopes })
      expect(status, JSON.stringify(scopes)).to.equal(422)
      expect(body.errors[0]?.pointer).to.match(/^\/scopes/)
    }
  })

  it('takes a time in the future in any RFC 3339 spelling, and shows it in UTC with milliseconds', async () => {
    const spellings = {
      '2026-11-23T12:00:00.001Z': '2026-11-23T12:00:00.001Z',
      '2027-01-01T00:00:00Z': '2027-01-01T00:00:00.000Z',
      '2027-01-01t01:30:00.1234567+01:30': '2027-01-01T00:00:00.123Z',
      '2028-02-29T23:59:59-00:00': '2028-02-29T23:59:59.000Z',
      '9999-12-31T23:59:59.999Z': '9999-12-31T23:59:59.999Z',
    }
    for (const [spelling, shown] of Object.entries(spellings)) {
      expect((await createToken(owner, { expires_at: spelling })).expires_at, spelling).to.equal(shown)
    }
    expect((await createToken(owner, { expires_at: null })).expires_at).to.equal(null)
  })

  it('refuses an expiry that is not a time, or not in the future', async () => {
    const bad = [
      '2026-11-23T12:00:00.000Z',
      '2020-01-01T00:00:00Z',
      '2027-02-29T00:00:00Z',
      '2027-13-01T00:00:00Z',
      '2027-01-01T24:00:00Z',
      '2027-01-01 00:00:00Z',
      '2027-01-01T00:00:00',
      '2027-01-01',
      'tomorrow',
      '',
      1_900_000_000,
      true,
      {},
    ]
    for (const expires_at of bad) {
      const { status, body } = await owner.post(TOKENS, { name: 'x', expires_at })
      expect(status, JSON.stringify(expires_at)).to.equal(422)
      expect(body.errors[0]?.pointer).to.equal('/expires_at')
    }
  })

  it('names everything that is wrong with the input at once', async () => {
    const { status, body } = await owner.post(TOKENS, {
      name: '',
      expires_at: '2020-01-01T00:00:00Z',
      scopes: ['A', 'b', 'C'],
    })
    expect(status).to.equal(422)
    expect(body.errors.map(({ pointer }) => pointer)).to.deep.equal([
      '/name',
      '/expires_at',
      '/scopes/0',
      '/scopes/2',
    ])
  })

  it('refuses members and query parameters it does not know', async () => {
    for (const more of [
      { id: 'x' },
      { account_id: 'acct_2' },
      { status: 'active' },
      { 'a/b~c': 1 },
      { Name: 'x' },
    ]) {
      const { status, body } = await owner.post(TOKENS, { name: 'x', ...more })
      expect(status).to.equal(422)
      expect(body.errors).to.have.lengthOf(1)
    }
    const { body } = await owner.post(TOKENS, { name: 'x', 'a/b~c': 1 })
    expect(body.errors[0]?.pointer).to.equal('/a~1b~0c')
    expect((await owner.post(`${TOKENS}?dry_run=1`, { name: 'x' })).status).to.equal(422)
  })

  it('requires a name that is a string', async () => {
    for (const body of [{}, { name: null }, { name: 1 }, { name: ['x'] }, { name: { $ne: 1 } }]) {
      const { status, body: problem } = await owner.post(TOKENS, body)
      expect(status).to.equal(422)
      expect(problem.errors[0]?.pointer).to.equal('/name')
    }
  })

  it('is not for tokens: 403 before anything is read', async () => {
    const { token } = await createToken(owner, { scopes: ['tokens:write', 'admin'] })
    const asToken = callerOf(service.url, tokenHeader(token))
    const { status, body } = await asToken.post(TOKENS, '{"broken')
    expect(status).to.equal(403)
    expect(body.code).to.equal('token_may_not_manage')
    expect((await asToken.post(`${TOKENS}?x=1`, { name: 'x' }, { 'Idempotency-Key': '' })).status).to.equal(
      403,
    )
  })

  it('puts the token into the account of the JWT', async () => {
    const other = callerOf(service.url, bearer(jwtFor('acct_2')))
    const { id, account_id } = await createToken(other)
    expect(account_id).to.equal('acct_2')
    expect((await owner.get(`${TOKENS}/${id}`)).status).to.equal(404)
  })

  it('names accounts of any script in the JSON, and in X-Account-Id as UTF-8', async () => {
    const odd = callerOf(service.url, bearer(jwtFor('konto_ü_口座')))
    expect((await createToken(odd)).account_id).to.equal('konto_ü_口座')
    const { headers } = await odd.get('/auth/verify')
    expect(Buffer.from(headers.get('x-account-id') ?? '', 'latin1').toString('utf8')).to.equal('konto_ü_口座')
  })

  it('holds a lifetime to TOKEN_MAX_LIFETIME_DAYS where that is set', async () => {
    const limited = await startLedger({ tokenMaxLifetimeDays: 30, clock: () => now })
    try {
      const caller = callerOf(limited.url, bearer(jwtFor('acct_1')))
      const at = (ms: number) => ({ name: 'x', expires_at: new Date(now + ms).toISOString() })
      expect((await caller.post(TOKENS, at(30 * DAY_MS))).status).to.equal(201)
      expect((await caller.post(TOKENS, at(30 * DAY_MS + 1))).status).to.equal(422)
      expect((await caller.post(TOKENS, { name: 'x' })).status).to.equal(422)
      expect((await caller.post(TOKENS, { name: 'x', expires_at: null })).status).to.equal(422)
      const { id } = await createToken(caller, at(DAY_MS))
      expect((await caller.patch(`${TOKENS}/${id}`, { expires_at: null })).status).to.equal(422)
      expect((await caller.patch(`${TOKENS}/${id}`, { name: 'y' })).status).to.equal(200)
    } finally {
      await limited.close()
    }
  })

  it('says in plain words what is wrong with each member', async () => {
    const wrong: [object, ...string[]][] = [
      [[], ' must be an object'],
      [{}, '/name is required'],
      [{ name: 'x', nam: 'y' }, '/nam is not known'],
      [{ name: 7, expires_at: 5 }, '/name must be text', '/expires_at must be text or null'],
      [{ name: 'x', expires_at: 'tomorrow' }, '/expires_at must be an RFC 3339 time'],
      [{ name: 'x', allowed_ips: [] }, '/allowed_ips must have at least 1 item'],
      [{ name: 'x', allowed_ips: '::1' }, '/allowed_ips must be a list or null'],
      [{ name: 'x', scopes: Array.from({ length: 33 }, () => 'a') }, '/scopes must have at most 32 items'],
      [
        { name: 'x', rotatable: 'yes', scopes: 'a' },
        '/rotatable must be true or false',
        '/scopes must be a list',
      ],
      [{ name: 'x', metadata: { a: 1 } }, '/metadata/a must be text'],
      [
        { name: 'x', metadata: { 'a b': '' } },
        '/metadata must have names of 1 to 40 letters, digits, ".", "_" and "-"',
      ],
      [
        { name: '', scopes: ['Orders'] },
        '/name must be 1 to 100 characters after trimming',
        '/scopes/0 must be 1 to 64 of the characters a-z, 0-9, ":", ".", "_", "*" and "-", and begin with a letter or a digit',
      ],
    ]
    for (const [body, ...problems] of wrong) {
      const { errors } = (await owner.post(TOKENS, body)).body
      expect(errors.map(({ pointer, message }) => `${pointer} ${message}`)).to.have.members(problems)
    }
    const { errors } = (await owner.get(`${TOKENS}?limit=0&status=dead&q=${'x'.repeat(101)}&counts=2`)).body
    expect(errors.map(({ pointer, message }) => `${pointer} ${message}`)).to.have.members([
      '?limit must be at least 1',
      '?status must be one of live, active, expired, revoked, all',
      '?q must have at most 100 characters',
      '?counts must be true or false',
    ])
  })
})
