import { expect } from 'chai'
import { type TokenLedger, TokenLedgerError, type Tokens } from '../../src/index.ts'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const ACCOUNT = 'acct_1'
const TOKEN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'
const by = { actor: 'nightly-job' }
const UNKNOWN = '01890000-0000-7000-8000-000000000000'

describe('Tokens from code', () => {
  const now = Date.parse('2026-11-23T12:30:00.000Z')
  let service: TestService
  let ledger: TokenLedger
  let tokens: Tokens
  let owner: Api
  before(async () => {
    service = await startLedger({
      clock: () => now,
      maxTokensPerAccount: 1000,
      tokenMaxLifetimeDays: 400,
      scopes: ['a', 'b', 'c'].map((name) => ({ name })),
      rateLimitWritesPerMinute: 1,
    })
    ledger = service.ledger
    tokens = ledger.tokens
    owner = callerOf(service.url, bearer(jwtFor(ACCOUNT)))
  })
  after(() => service.close())

  const expiresAt = '2027-01-01T00:00:00.000Z'
  const make = (input: object = {}) => tokens.create(ACCOUNT, { name: 'a token', expiresAt, ...input }, by)

  const any = (value: unknown) => value as never

  /** The code and the pointers of a refusal. */
  async function refused(work: Promise<unknown>): Promise<[code: string, ...pointers: string[]]> {
    try {
      await work
    } catch (error) {
      expect(error).to.be.instanceOf(TokenLedgerError)
      const { code, errors, name } = error as TokenLedgerError
      expect(name).to.equal('TokenLedgerError')
      return [code, ...errors.map(({ pointer }) => pointer)]
    }
    throw new Error('it was not refused')
  }

  it('are made, and shown once with their credential', async () => {
    const created = await tokens.create(
      ACCOUNT,
      { name: ' CI ', expiresAt: '2027-01-01T01:00:00+01:00', scopes: ['a'] },
      by,
    )
    const { token, ...rest } = created
    expect(rest).to.deep.equal({
      id: created.id,
      accountId: ACCOUNT,
      name: 'CI',
      description: null,
      metadata: {},
      hint: created.hint,
      scopes: ['a'],
      allowedIps: null,
      rotatable: false,
      rotation: null,
      status: 'active',
      createdBy: { kind: 'code', id: 'nightly-job' },
      createdAt: new Date(now).toISOString(),
      updatedAt: new Date(now).toISOString(),
      lastAccessed: null,
      expiresAt,
      revokedAt: null,
      revision: 0,
    })
    expect(token).to.match(/^tkl_[0-9A-Za-z]{49}$/)
    expect(await ledger.verify(token)).to.deep.include({ kind: 'token', accountId: ACCOUNT, scopes: ['a'] })
    expect(await tokens.get(ACCOUNT, created.id)).to.deep.equal(rest)
  })

  it('are the same over HTTP, under the names of the wire', async () => {
    const { id } = await make({ scopes: ['a'] })
    const { body } = await owner.get(`${TOKENS}/${id}`)
    const got = await tokens.get(ACCOUNT, id)
    expect(Object.values(got)).to.deep.equal(Object.values(body))
    expect(Object.keys(body)).to.include.members(['account_id', 'expires_at', 'last_accessed'])
  })

  it('get another secret, and lose the one or the other', async () => {
    const { id, token: first } = await make({})
    const who = async (token: string) => (await ledger.verify(token))?.tokenId ?? null
    const { token: second, rotation } = await tokens.rotate(ACCOUNT, id, { graceSeconds: 60 }, by)
    expect(rotation).to.deep.include({ status: 'pending', startedBy: { kind: 'code', id: 'nightly-job' } })
    await tokens.endRotation(ACCOUNT, id, 'pending', by)
    expect([await who(first), await who(second)]).to.deep.equal([id, null])

    const { token: third } = await tokens.rotate(ACCOUNT, id, { activate: 'now' }, by)
    expect([await who(first), await who(third)]).to.deep.equal([id, id])
    expect(await refused(tokens.endRotation(ACCOUNT, id, 'pending', by))).to.include('no_such_rotation')
    expect(await refused(tokens.endRotation(ACCOUNT, id, any('both'), by))).to.include('validation_failed')
    await tokens.endRotation(ACCOUNT, id, 'grace', by)
    expect([await who(first), await who(third)]).to.deep.equal([null, id])
    expect((await tokens.get(ACCOUNT, id)).rotation).to.equal(null)
  })

  it('are changed, listed and revoked; the history says that code did it', async () => {
    const { id, token } = await make({ name: 'changes' })
    const changed = await tokens.update(
      ACCOUNT,
      id,
      { name: 'changed', scopes: ['b'] },
      { actor: 'billing', ifMatch: 0 },
    )
    expect(changed).to.include({ name: 'changed', revision: 1 })
    await tokens.revoke(ACCOUNT, id, { actor: 'cleanup', reason: 'not used', ifMatch: '"1"' })
    expect(await ledger.verify(token)).to.equal(null)
    await tokens.revoke(ACCOUNT, id, { ...by, ifMatch: 0 })
    expect((await tokens.get(ACCOUNT, id)).status).to.equal('revoked')
    const { data, nextCursor } = await tokens.history(ACCOUNT, id)
    expect(nextCursor).to.equal(null)
    expect(data.map(({ type, actor }) => [type, actor.kind, actor.id])).to.deep.equal([
      ['TokenCreated', 'code', 'nightly-job'],
      ['TokenUpdated', 'code', 'billing'],
      ['TokenRevoked', 'code', 'cleanup'],
    ])
    expect(data[0]?.data).to.include({ accountId: ACCOUNT, expiresAt })
    expect(data[0]?.data).to.not.have.any.keys('hash', 'hashKeyId', 'expires_at')
    expect(data[2]?.data).to.deep.equal({ reason: 'not used' })
    const overHttp = await owner.get(`${TOKENS}/${id}/events`)
    expect(overHttp.body.data.map(({ actor }) => actor.kind)).to.deep.equal(['code', 'code', 'code'])
  })

  it('are listed page by page, in the orders that code names', async () => {
    for (const name of ['l3', 'l1', 'l2']) await make({ name })
    const query = { q: 'l', sort: 'name', limit: 2, status: 'active' } as const
    const first = await tokens.list(ACCOUNT, { ...query })
    const second = await tokens.list(ACCOUNT, { ...query, cursor: first.nextCursor ?? '' })
    expect([...first.data, ...second.data].map(({ name }) => name)).to.include.members(['l1', 'l2', 'l3'])
    expect((await tokens.list(ACCOUNT)).data[0]).to.have.property('accountId', ACCOUNT)
    for (const sort of ['createdAt', '-createdAt', 'lastAccessed', '-expiresAt', '-name'] as const)
      expect((await tokens.list(ACCOUNT, { sort })).data).to.not.be.empty
    expect((await tokens.list('acct_none')).data).to.deep.equal([])
  })

  it('tell of their usage', async () => {
    const { id, token } = await make()
    await callerOf(service.url, tokenHeader(token)).get('/auth/verify')
    await eventually(async () => expect((await tokens.usage(ACCOUNT, id)).total.requests).to.equal(1))
    const found = await tokens.usage(ACCOUNT, id, { granularity: 'hour', route: '/auth/verify' })
    expect(found).to.deep.include({
      tokenId: id,
      granularity: 'hour',
      total: { requests: 1, outcomes: null },
    })
    expect(found.lastAccessed).to.be.a('string')
    const all = await tokens.usage(ACCOUNT, { granularity: 'day' })
    expect(all.tokens.find(({ tokenId }) => tokenId === id)).to.include({ requests: 1 })
  })

  it('come once under one key, over either door', async () => {
    const input = { name: 'once', expiresAt, scopes: ['a'] }
    const keyed = { ...by, idempotencyKey: 'k-1' }
    const first = await tokens.create(ACCOUNT, input, keyed)
    const again = await tokens.create(ACCOUNT, input, { ...keyed, scopes: [] })
    const { token, ...rest } = first
    expect(token).to.be.a('string')
    expect(again).to.deep.equal(rest)
    expect(await refused(tokens.create(ACCOUNT, { ...input, name: 'other' }, keyed))).to.deep.equal([
      'idempotency_key_reused',
    ])
    const api = callerOf(service.url, bearer(jwtFor('acct_k')))
    const body = { name: 'x', expires_at: expiresAt }
    const made = await createToken(api.with({ 'Idempotency-Key': 'k-2' }), body)
    const repeated = await tokens.create('acct_k', { name: 'x', expiresAt }, { ...by, idempotencyKey: 'k-2' })
    expect(repeated.id).to.equal(made.id)
    for (const idempotencyKey of ['', 'a b', 'é', 'x'.repeat(256)])
      expect(await refused(tokens.create(ACCOUNT, input, { ...by, idempotencyKey }))).to.deep.equal([
        'invalid_idempotency_key',
      ])
  })

  it('are held to the scopes that the caller names, and to the catalogue', async () => {
    const { id } = await make({ scopes: ['a', 'b'] })
    const held = { ...by, scopes: ['a'] }
    expect(
      await refused(tokens.create(ACCOUNT, { name: 'x', expiresAt, scopes: ['b'] }, held)),
    ).to.deep.equal(['scope_not_grantable'])
    expect(await refused(tokens.update(ACCOUNT, id, { scopes: ['a', 'c'] }, held))).to.deep.equal([
      'scope_not_grantable',
    ])
    expect((await tokens.update(ACCOUNT, id, { scopes: ['b'] }, held)).scopes).to.deep.equal(['b'])
    expect((await tokens.update(ACCOUNT, id, { scopes: ['b', 'c'] }, by)).scopes).to.deep.equal(['b', 'c'])
    expect(await refused(tokens.update(ACCOUNT, id, { scopes: ['z'] }, by))).to.deep.equal([
      'validation_failed',
      '/scopes/0',
    ])
  })

  it('are unknown by the same code, whatever is asked of them', async () => {
    const { id } = await make()
    for (const [account, unknown] of [
      [ACCOUNT, UNKNOWN],
      [ACCOUNT, 'x'],
      [ACCOUNT, ''],
      [ACCOUNT, undefined as unknown as string],
      ['acct_2', id],
    ] as const) {
      for (const work of [
        tokens.get(account, unknown),
        tokens.update(account, unknown, { name: '' }, by),
        tokens.revoke(account, unknown, by),
        tokens.history(account, unknown),
        ...(unknown === undefined ? [] : [tokens.usage(account, unknown)]),
      ])
        expect(await refused(work), `${account} ${unknown}`).to.deep.equal(['not_found'])
    }
  })

  it('are unknown by an id that is no text, even one that looks like it', async () => {
    const { id } = await make()
    const odd: unknown[] = [null, 7, true, [id], { toString: () => id }, Symbol(id), () => id]
    for (const given of odd) {
      for (const work of [
        tokens.get(ACCOUNT, any(given)),
        tokens.update(ACCOUNT, any(given), { name: 'x' }, by),
        tokens.revoke(ACCOUNT, any(given), by),
        tokens.history(ACCOUNT, any(given)),
        tokens.usage(ACCOUNT, any(given), {}),
      ])
        expect(await refused(work), String(given)).to.deep.equal(['not_found'])
    }
    expect(await refused(tokens.usage(ACCOUNT, any(undefined), {}))).to.deep.equal(['not_found'])
    expect((await tokens.get(ACCOUNT, id)).revision).to.equal(0)
  })

  it('are asked for by a query that is an object', async () => {
    const { id } = await make()
    for (const query of [7, true, [], ['x'], 'limit=5', () => ({}), Symbol('x')]) {
      for (const work of [
        tokens.list(ACCOUNT, any(query)),
        tokens.history(ACCOUNT, id, any(query)),
        tokens.usage(ACCOUNT, id, any(query)),
        ...(typeof query === 'string' ? [] : [tokens.usage(ACCOUNT, any(query))]),
      ])
        expect(await refused(work), String(query)).to.deep.equal(['validation_failed', ''])
    }
    expect((await tokens.usage(ACCOUNT)).granularity).to.equal('day')
  })

  it('are refused by the codes of HTTP where their state or revision does not fit', async () => {
    const { id } = await make()
    const change = (ifMatch: number | string) => tokens.update(ACCOUNT, id, { name: 'x' }, { ...by, ifMatch })
    for (const ifMatch of [1, -1, '"1"', 'W/"0"', '0', ''])
      expect(await refused(change(ifMatch)), String(ifMatch)).to.deep.equal(['precondition_failed'])
    expect((await change('"0"')).revision).to.equal(1)
    expect((await change('*')).revision).to.equal(1)
    expect(await refused(tokens.revoke(ACCOUNT, id, { ...by, ifMatch: 0 }))).to.deep.equal([
      'precondition_failed',
    ])
    await tokens.revoke(ACCOUNT, id, by)
    expect(await refused(tokens.update(ACCOUNT, id, { name: 'y' }, by))).to.deep.equal(['token_revoked'])
  })

  it('have the limit of number, and none of rate', async () => {
    const few = await startLedger({ maxTokensPerAccount: 1, rateLimitWritesPerMinute: 1 })
    try {
      const { id } = await few.ledger.tokens.create(ACCOUNT, { name: 'x' }, by)
      expect(await refused(few.ledger.tokens.create(ACCOUNT, { name: 'x' }, by))).to.deep.equal([
        'token_limit_reached',
      ])
      for (const name of ['a', 'b', 'c']) await few.ledger.tokens.update(ACCOUNT, id, { name }, by)
    } finally {
      await few.close()
    }
  })

  const wrong: [what: string, ask: (id: string) => Promise<unknown>, pointers: string[]][] = [
    ['a name', () => tokens.create(ACCOUNT, { name: '', expiresAt }, by), ['/name']],
    ['no input', () => tokens.create(ACCOUNT, any(undefined), by), ['']],
    ['no name', () => tokens.create(ACCOUNT, any({}), by), ['/name']],
    [
      'names of the wire',
      () => tokens.create(ACCOUNT, any({ name: 'x', expires_at: expiresAt }), by),
      ['/expires_at'],
    ],
    [
      'a Date',
      () => tokens.create(ACCOUNT, any({ name: 'x', expiresAt: new Date(now + 1e9) }), by),
      ['/expiresAt'],
    ],
    ['no time', () => tokens.create(ACCOUNT, { name: 'x', expiresAt: 'then' }, by), ['/expiresAt']],
    [
      'a time that has passed',
      () => tokens.create(ACCOUNT, { name: 'x', expiresAt: '2020-01-01T00:00:00Z' }, by),
      ['/expiresAt'],
    ],
    ['no expiry where one is needed', () => tokens.create(ACCOUNT, { name: 'x' }, by), ['/expiresAt']],
    ['scopes', () => tokens.create(ACCOUNT, { name: 'x', expiresAt, scopes: ['a', 'A'] }, by), ['/scopes/1']],
    [
      'scopes as a text',
      () => tokens.create(ACCOUNT, any({ name: 'x', expiresAt, scopes: 'a' }), by),
      ['/scopes'],
    ],
    ['a change of another member', (id) => tokens.update(ACCOUNT, id, any({ status: 'x' }), by), ['/status']],
    ['a name that is null', (id) => tokens.update(ACCOUNT, id, any({ name: null }), by), ['/name']],
    ['a reason', (id) => tokens.revoke(ACCOUNT, id, { ...by, reason: 'x'.repeat(201) }), ['/reason']],
    ['an order of the wire', () => tokens.list(ACCOUNT, any({ sort: 'created_at' })), ['/sort']],
    ['a limit', () => tokens.list(ACCOUNT, { limit: 101 }), ['/limit']],
    ['a limit as a text', () => tokens.list(ACCOUNT, any({ limit: '5' })), ['/limit']],
    ['a cursor', () => tokens.list(ACCOUNT, { cursor: 'x' }), ['/cursor']],
    ['a cursor of the history', (id) => tokens.history(ACCOUNT, id, { cursor: 'x' }), ['/cursor']],
    ['a parameter', () => tokens.list(ACCOUNT, any({ page: 1 })), ['/page']],
    [
      'a range',
      (id) => tokens.usage(ACCOUNT, id, { from: expiresAt, to: '2026-01-01T00:00:00Z' }),
      ['/from'],
    ],
    ['a granularity', () => tokens.usage(ACCOUNT, any({ granularity: 'week' })), ['/granularity']],
    ['no actor', (id) => tokens.revoke(ACCOUNT, id, any({})), ['/actor']],
    ['no options', (id) => tokens.revoke(ACCOUNT, id, any(undefined)), ['/actor']],
    ['a token as actor', (id) => tokens.revoke(ACCOUNT, id, { actor: TOKEN }), ['/actor']],
    ['a token as account', (id) => tokens.revoke(TOKEN, id, by), ['/accountId']],
    ['an empty actor', (id) => tokens.revoke(ACCOUNT, id, { actor: '' }), ['/actor']],
    [
      'an actor that is no text',
      (id) => tokens.revoke(ACCOUNT, id, any({ actor: { kind: 'jwt', id: 'x' } })),
      ['/actor'],
    ],
    [
      'an option that is misspelt',
      (id) => tokens.update(ACCOUNT, id, {}, any({ ...by, scope: [] })),
      ['/scope'],
    ],
    [
      'a ceiling that is no list',
      (id) => tokens.update(ACCOUNT, id, {}, any({ ...by, scopes: 'a' })),
      ['/scopes'],
    ],
    ['a revision', (id) => tokens.update(ACCOUNT, id, {}, { ...by, ifMatch: 0.5 }), ['/ifMatch']],
    ['no account', () => tokens.list(any(undefined)), ['/accountId']],
    ['an empty account', () => tokens.create('', { name: 'x', expiresAt }, by), ['/accountId']],
  ]
  for (const [what, ask, pointers] of wrong) {
    it(`name what is wrong with the input: ${what}`, async () => {
      const { id } = await make()
      expect(await refused(ask(id))).to.deep.equal(['validation_failed', ...pointers])
      expect(await tokens.get(ACCOUNT, id)).to.include({ revision: 0, status: 'active' })
    })
  }

  it('leave what they were given as it was', async () => {
    const [input, query] = [
      Object.freeze({ name: 'x', expiresAt, scopes: Object.freeze(['a']) }),
      Object.freeze({}),
    ]
    const { id } = await tokens.create(ACCOUNT, input, Object.freeze({ ...by }))
    await tokens.list(ACCOUNT, query)
    await tokens.usage(ACCOUNT, id, query)
    await tokens.history(ACCOUNT, id, query)
    expect(query).to.deep.equal({})
  })
})

describe('An outage, from code', () => {
  it('is `store_unavailable`, with its cause', async () => {
    const service = await startLedger()
    await service.close()
    const error = await service.ledger.tokens.list(ACCOUNT).then(
      () => null,
      (thrown: unknown) => thrown,
    )
    expect(error).to.be.instanceOf(TokenLedgerError)
    expect(error).to.include({ code: 'store_unavailable' })
    expect((error as TokenLedgerError).cause).to.be.instanceOf(Error)
  })
})
