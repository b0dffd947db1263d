import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { TokenLedgerError } from '../../src/index.ts'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { forge, good, HS256 } from '../support/callers/jws.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

describe('The ceiling of scopes', () => {
  let service: TestService
  let admin: Api
  before(async () => {
    service = await startLedger({ maxTokensPerAccount: 10_000 })
    admin = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(() => service.close())

  const withClaims = (claims: object): Api =>
    callerOf(service.url, bearer(forge(HS256, { ...good(), ...claims })))
  const reader = () => withClaims({ scope: 'orders:read' })
  const asksFor = (api: Api, ...scopes: string[]) => api.post(TOKENS, { name: 'x', scopes })

  it('keeps a JWT with orders:read from making a token with orders:write, and names it', async () => {
    const { status, body } = await asksFor(reader(), 'orders:read', 'orders:write', 'a')
    expect(status).to.equal(403)
    expect(body.code).to.equal('scope_not_grantable')
    expect(body.detail).to.match(/: orders:write a\.$/)
    expect((await asksFor(reader(), 'orders:read')).status).to.equal(201)
    expect((await asksFor(reader())).status).to.equal(201)
  })

  const ceilings: [what: string, claims: object, may: string[], mayNot: string[]][] = [
    ['a text', { scope: 'a b:c' }, ['a', 'b:c'], ['b', 'c']],
    ['an array', { scope: ['a', 'b:c'] }, ['a', 'b:c'], ['b']],
    ['scp, a text', { scp: 'a b' }, ['a', 'b'], ['c']],
    ['scp, an array', { scp: ['a', 'b'] }, ['a', 'b'], ['c']],
    ['scope before scp', { scope: 'a', scp: 'b' }, ['a'], ['b']],
    ['an empty scope before scp', { scope: '', scp: 'b' }, [], ['b']],
    ['a malformed scope before scp', { scope: null, scp: ['b'] }, [], ['b']],
    ['an empty text', { scope: '' }, [], ['a']],
    ['an empty array', { scope: [] }, [], ['a']],
    ['an empty scp', { scp: [] }, [], ['a']],
    ['null', { scope: null }, [], ['a']],
    ['false', { scope: false }, [], ['a']],
    ['a number', { scp: 1 }, [], ['a']],
    ['an object', { scope: { a: true, length: 1, 0: 'a' } }, [], ['a']],
    ['an array with what is no text', { scope: [['a'], { a: 1 }, null, 'b'] }, ['b'], ['a']],
    ['an array with a list in a text', { scope: ['a b'] }, [], ['a', 'b']],
    ['another white space', { scope: 'a\tb\nc' }, [], ['a', 'b', 'c']],
    ['other case', { scope: 'A ORDERS:READ' }, [], ['a', 'orders:read']],
    [
      'a star, which is a scope like any other',
      { scope: 'orders:* a*' },
      ['orders:*', 'a*'],
      ['orders:read', 'a'],
    ],
    ['a longer one', { scope: 'orders:read' }, [], ['orders', 'orders:rea', 'orders:read:all']],
  ]
  for (const [what, claims, may, mayNot] of ceilings) {
    it(`is what the claim of a JWT holds: ${what}`, async () => {
      const api = withClaims(claims)
      for (const scope of may) expect((await asksFor(api, scope)).status, scope).to.equal(201)
      for (const scope of mayNot) {
        const { status, body } = await asksFor(api, ...may, scope)
        expect([status, body.code], scope).to.deep.equal([403, 'scope_not_grantable'])
      }
      expect((await asksFor(api)).status, 'none at all').to.equal(201)
    })
  }

  it('is not there for a JWT that says nothing of scopes', async () => {
    for (const claims of [{}, { scopes: 'a', Scope: 'a', permissions: [] }])
      expect((await asksFor(withClaims(claims), 'orders:write')).status).to.equal(201)
  })

  describe('of a change', () => {
    const change = async (had: string[], patch: object, api = reader()) => {
      const { id } = await createToken(admin, { scopes: had })
      return api.patch(`${TOKENS}/${id}`, patch)
    }

    it('counts what is added only: what a token has it may keep, and lose', async () => {
      const kept = await change(['admin', 'b'], { scopes: ['b', 'orders:read', 'admin'], name: 'new' })
      expect([kept.status, kept.body.scopes]).to.deep.equal([200, ['b', 'orders:read', 'admin']])
      expect((await change(['admin', 'b'], { scopes: ['admin'] })).body.scopes).to.deep.equal(['admin'])
      expect((await change(['admin', 'b'], { scopes: null })).body.scopes).to.deep.equal([])
      expect((await change(['admin'], { name: 'other' })).status).to.equal(200)
      const added = await change(['admin'], { scopes: ['admin', 'orders:write'] })
      expect([added.status, added.body.code]).to.deep.equal([403, 'scope_not_grantable'])
      expect(added.body.detail).to.match(/: orders:write\.$/)
    })

    it('gives nothing back that was taken away', async () => {
      const { id } = await createToken(admin, { scopes: ['admin'] })
      await reader().patch(`${TOKENS}/${id}`, { scopes: [] })
      expect((await reader().patch(`${TOKENS}/${id}`, { scopes: ['admin'] })).status).to.equal(403)
    })

    it('comes after 404 and 422, and before 409 and 412', async () => {
      const patch = { scopes: ['orders:write'] }
      const unknown = `${TOKENS}/01890000-0000-7000-8000-000000000000`
      expect((await reader().patch(unknown, patch)).status).to.equal(404)
      const { id } = await createToken(admin)
      const path = `${TOKENS}/${id}`
      expect((await reader().patch(path, { ...patch, name: '' })).status).to.equal(422)
      expect((await reader().patch(path, patch, { 'If-Match': '"7"' })).status).to.equal(403)
      await admin.delete(path)
      expect((await reader().patch(path, patch)).status).to.equal(403)
      expect((await reader().patch(path, { scopes: ['orders:read'] })).status).to.equal(409)
    })
  })

  it('lets a repeated creation be a repeat, whoever asks', async () => {
    const key = { 'Idempotency-Key': 'once' }
    const body = { name: 'x', scopes: ['orders:write'] }
    const { body: made } = await admin.post(TOKENS, body, key)
    const { status, body: again } = await reader().post(TOKENS, body, key)
    expect([status, again.id]).to.deep.equal([200, made.id])
    expect(again).to.not.have.property('token')
    expect((await reader().post(TOKENS, { name: 'y', scopes: ['a'] }, key)).body.code).to.equal(
      'idempotency_key_reused',
    )
    expect((await reader().post(TOKENS, body, { 'Idempotency-Key': 'other' })).status).to.equal(403)
  })

  it('can be taken away', async () => {
    const open = await startLedger({ scopeCeiling: false })
    try {
      const api = callerOf(open.url, bearer(jwtFor('acct_1', { scope: 'orders:read' })))
      const { id } = await createToken(api, { scopes: ['orders:write'] })
      expect((await api.patch(`${TOKENS}/${id}`, { scopes: ['a'] })).status).to.equal(200)
    } finally {
      await open.close()
    }
  })

  it('holds for what a JWT may give out, not for what it may do itself', async () => {
    const { body } = await reader().get('/auth/verify?scope=orders:read')
    expect(body.scopes).to.deep.equal(['orders:read'])
    const lacking = await reader().get('/auth/verify?scope=orders:write&scope=orders:read&scope=a')
    expect(lacking.status).to.equal(403)
    expect(lacking.body.detail).to.contain('orders:write a')
    expect(lacking.headers.get('www-authenticate')).to.equal(
      'Bearer realm="tokenledger", error="insufficient_scope", scope="orders:write a"',
    )
  })

  it('is told without a text that is no scope', async () => {
    for (const odd of ['a"b', 'a%0D%0Ab', '%C3%A9', 'a%20b', 'A']) {
      const { status, headers } = await reader().get(`/auth/verify?scope=${odd}`)
      expect(status).to.equal(403)
      expect(headers.get('www-authenticate')).to.equal(
        'Bearer realm="tokenledger", error="insufficient_scope"',
      )
    }
  })
})

describe('The catalogue of scopes', () => {
  let service: TestService
  let owner: Api
  let folder: string
  let old: string
  const scopes = [{ name: 'orders:read', description: 'See orders.' }, { name: 'orders:write' }]

  before(async () => {
    // Another service on the same files. It ran before there was a catalogue.
    folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
    const before = await startLedger({}, folder)
    const { id } = await createToken(callerOf(before.url, bearer(jwtFor('acct_1'))), { scopes: ['old'] })
    old = `${TOKENS}/${id}`
    await before.close()
    service = await startLedger({ scopes }, folder)
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(async () => {
    await service.close()
    await rm(folder, { recursive: true })
  })

  it('refuses what is outside of it, by its place', async () => {
    const { status, body } = await owner.post(TOKENS, {
      name: 'x',
      scopes: ['orders:read', 'a', 'orders', 'b'],
    })
    expect([status, body.code]).to.deep.equal([422, 'validation_failed'])
    expect(body.errors.map(({ pointer }) => pointer)).to.deep.equal(['/scopes/1', '/scopes/2', '/scopes/3'])
    expect((await createToken(owner, { scopes: ['orders:write', 'orders:read'] })).scopes).to.have.length(2)
    expect((await createToken(owner, {})).scopes).to.deep.equal([])
  })

  it('is named with all else that is wrong with the input', async () => {
    const { id } = await createToken(owner, {})
    const input = { name: '', scopes: ['orders:read', 'nope', 'No Scope'] }
    const places = ['/name', '/scopes/1', '/scopes/2']
    for (const { status, body } of [
      await owner.post(TOKENS, input),
      await owner.patch(`${TOKENS}/${id}`, input),
    ]) {
      expect(status).to.equal(422)
      expect(body.errors.map(({ pointer }) => pointer)).to.have.members(places)
    }
    const made = service.ledger.tokens.create('acct_1', input, { actor: 'tests' })
    const refused: TokenLedgerError = await made.catch((error) => error)
    expect(refused.errors.map(({ pointer }) => pointer)).to.have.members(places)
  })

  it('names the place of a scope behind one that comes twice', async () => {
    const twice = ['orders:read', 'orders:read']
    const { id } = await createToken(owner, {})
    for (const wrong of ['no scope', 'unknown']) {
      for (const { status, body } of [
        await owner.post(TOKENS, { name: 'x', scopes: [...twice, wrong] }),
        await owner.patch(`${TOKENS}/${id}`, { scopes: [...twice, wrong] }),
      ])
        expect([status, body.errors.map(({ pointer }) => pointer)], wrong).to.deep.equal([422, ['/scopes/2']])
    }
    expect((await owner.patch(`${TOKENS}/${id}`, { scopes: twice })).body.scopes).to.deep.equal([
      'orders:read',
    ])
  })

  it('leaves a token what it had before, and adds nothing of the kind', async () => {
    const kept = await owner.patch(old, { name: 'still', scopes: ['orders:read', 'old'] })
    expect([kept.status, kept.body.scopes]).to.deep.equal([200, ['orders:read', 'old']])
    const { status, body } = await owner.patch(old, { scopes: ['old', 'older'] })
    expect([status, body.errors[0]?.pointer]).to.deep.equal([422, '/scopes/1'])
    expect((await owner.patch(old, { scopes: [] })).status).to.equal(200)
    expect((await owner.patch(old, { scopes: ['old'] })).status).to.equal(422)
  })

  it('is asked before the ceiling', async () => {
    const none = callerOf(service.url, bearer(jwtFor('acct_1', { scope: '' })))
    expect((await none.post(TOKENS, { name: 'x', scopes: ['a', 'orders:read'] })).status).to.equal(422)
    expect((await none.post(TOKENS, { name: 'x', scopes: ['orders:read'] })).status).to.equal(403)
  })

  it('does not stand against a token that is good', async () => {
    const { token } = await createToken(owner, { scopes: ['orders:read'] })
    const asToken = callerOf(service.url, tokenHeader(token))
    expect((await asToken.get('/auth/verify?scope=orders:read')).status).to.equal(200)
  })
})
