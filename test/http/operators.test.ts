import { expect } from 'chai'
import type { User } from '../../src/index.ts'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { signedBy, signingKey, startIssuer } from '../support/processes/issuer.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const ALL = '/admin/api-tokens'
const UNKNOWN = '01890000-0000-7000-8000-000000000000'
const SCOPE = 'tokenledger:operator'
const operatorJwt = (claims: object = {}) => jwtFor('ann', { scope: `${SCOPE} other`, ...claims })

describe('An operator', () => {
  let service: TestService
  let operator: Api
  let owners: Api[]
  let now = Date.now()
  const asked: string[] = []
  before(async () => {
    service = await startLedger({
      clock: () => now,
      maxTokensPerAccount: 10_000,
      resolveAccount: (id) => {
        asked.push(id)
        return id === 'closed' ? null : { id }
      },
      resolveUser: (ctx) => {
        const user = ctx.get('X-Login')
        return user === '' ? null : (JSON.parse(user) as User)
      },
    })
    operator = callerOf(service.url, bearer(operatorJwt()))
    owners = ['acct_1', 'acct_2'].map((account) => callerOf(service.url, bearer(jwtFor(account))))
  })
  after(() => service.close())

  const created = (of = 0, input: object = {}): Promise<Body> => createToken(owners[of] as Api, input)
  const namesOf = async (query: string): Promise<string[]> =>
    (await operator.get(`${ALL}?sort=created_at&limit=100&${query}`)).body.data.map(({ name }) => name)

  it('needs no account, and the host is not asked for one', async () => {
    const jwt = jwtFor('ann', { scope: SCOPE, sub: 'ann' })
    asked.length = 0
    expect((await callerOf(service.url, bearer(jwt)).get(ALL)).status).to.equal(200)
    const user = { 'X-Login': JSON.stringify({ accountId: 'closed', operator: true }) }
    expect((await callerOf(service.url, user).get(ALL)).status).to.equal(200)
    expect(asked).to.deep.equal([])
  })

  it('sees the tokens of all accounts, page by page, and what the list of an account can be asked for', async () => {
    const names = ['many 1', 'many 2', 'many 3']
    for (const [i, name] of names.entries()) await created(i % 2, { name })
    expect(await namesOf('q=MANY')).to.deep.equal(names)
    expect(await namesOf('q=many&account=acct_2')).to.deep.equal(['many 2'])
    expect(await namesOf('q=many&account=nobody')).to.deep.equal([])
    const first = await operator.get(`${ALL}?q=many&sort=-name&limit=2`)
    expect(first.body.data.map(({ name }) => name)).to.deep.equal(['many 3', 'many 2'])
    const link = /<([^>]+)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1]
    const second = await operator.get(String(link))
    expect(second.body.data.map(({ name }) => name)).to.deep.equal(['many 1'])
    expect(second.body.next_cursor).to.equal(null)
  })

  it('lists them by status, as far as it is known now', async () => {
    const soon = { expires_at: new Date(now + 60_000).toISOString() }
    const [revoked] = [
      await created(0, { name: 'st revoked' }),
      await created(1, { name: 'st expired', ...soon }),
    ]
    await created(1, { name: 'st active' })
    await operator.delete(`${ALL}/${revoked?.id}`)
    now += 60_000
    for (const sort of ['created_at', 'name', 'last_accessed', 'expires_at'])
      for (const [status, names] of Object.entries({
        live: ['active', 'expired'],
        active: ['active'],
        expired: ['expired'],
        revoked: ['revoked'],
        all: ['active', 'expired', 'revoked'],
      })) {
        const { body } = await operator.get(`${ALL}?q=st+&status=${status}&sort=${sort}`)
        expect(body.data.map(({ name }) => name.slice(3)).sort(), `${status} by ${sort}`).to.deep.equal(names)
      }
  })

  it('finds a token by the hint that people see', async () => {
    const token = await created(0, { name: 'hinted' })
    const hint = encodeURIComponent(token.hint)
    expect(await namesOf(`hint=${hint}`)).to.deep.equal(['hinted'])
    expect(await namesOf(`hint=${hint}&account=acct_2`)).to.deep.equal([])
    expect(await namesOf(`hint=${hint}&status=revoked`)).to.deep.equal([])
    await operator.delete(`${ALL}/${token.id}`)
    expect(await namesOf(`hint=${hint}`)).to.deep.equal([])
    for (const status of ['revoked', 'all'])
      expect(await namesOf(`hint=${hint}&status=${status}`)).to.deep.equal(['hinted'])
  })

  it('reads everything of one token', async () => {
    const { id, token } = await created(1, { name: 'read' })
    await callerOf(service.url, tokenHeader(token)).get('/auth/verify')
    const { body, headers } = await operator.get(`${ALL}/${id}`)
    expect(body).to.include({ id, account_id: 'acct_2', name: 'read' })
    expect(headers.get('etag')).to.equal('"0"')
    expect((await operator.get(`${ALL}/${id}?at=0`)).body.name).to.equal('read')
    expect((await operator.get(`${ALL}/${id}/events`)).body.data).to.have.lengthOf(1)
    for (const path of ['usage', 'blast-radius'])
      expect((await operator.get(`${ALL}/${id}/${path}`)).body.token_id, path).to.equal(id)
    for (const path of [UNKNOWN, 'nothing', `${UNKNOWN}/events`, `${UNKNOWN}/usage`])
      expect((await operator.get(`${ALL}/${path}`)).status, path).to.equal(404)
  })

  it('follows what happens to the tokens of all accounts, as long as the credential is good', async () => {
    const [a, b] = [await created(0), await created(1)]
    const ids: unknown[] = []
    let after = '0'
    for (;;) {
      const { body } = await operator.get(`/admin/events?types=TokenCreated&after=${after}&limit=100`)
      ids.push(...body.data.map((event) => (event as unknown as Body).token_id))
      const { next } = body as unknown as { next: string }
      if (next === after) break
      after = next
    }
    expect(ids).to.include.members([a.id, b.id])
    const soon = Math.floor(now / 1000) + 3600
    const headers = { ...bearer(operatorJwt({ exp: soon })), Accept: 'text/event-stream' }
    const answer = await fetch(`${service.url}/admin/events?after=${after}`, { headers })
    expect(answer.headers.get('content-type')).to.match(/^text\/event-stream/)
    const c = await created(1)
    let text = ''
    for await (const part of answer.body ?? []) {
      text += Buffer.from(part).toString('utf8')
      if (text.includes(c.id)) break
    }
    expect(text).to.contain('"account_id":"acct_2"').and.not.to.contain(c.token)
  })

  it('revokes a token of any account, with the reason and the person in its history', async () => {
    const { id, token } = await created(1)
    expect((await operator.delete(`${ALL}/${id}`, { 'If-Match': '"7"' })).status).to.equal(412)
    expect((await operator.delete(`${ALL}/${id}?reason=leaked`)).status).to.equal(204)
    expect((await operator.delete(`${ALL}/${id}`)).status).to.equal(204)
    expect((await callerOf(service.url, tokenHeader(token)).get('/auth/verify')).status).to.equal(401)
    const { data } = (await (owners[1] as Api).get(`${TOKENS}/${id}/events`)).body
    expect(data.at(-1)).to.deep.include({
      type: 'TokenRevoked',
      actor: { kind: 'operator', id: 'ann' },
      data: { reason: 'leaked' },
    })
  })

  describe('that revokes many', () => {
    const revoke = async (which: object, dryRun?: boolean) => {
      const body = { reason: 'leaked', ...which, ...(dryRun === undefined ? {} : { dry_run: dryRun }) }
      const answer = await operator.post('/admin/revocations', body)
      return { ...answer, rows: answer.body.data as unknown as Record<string, unknown>[] }
    }
    const statusOf = async (id: string) => (await operator.get(`${ALL}/${id}`)).body.status

    it('is told what would go, and nothing goes, in a dry run', async () => {
      const { id, hint, token } = await created(1)
      for (const which of [{ ids: [id] }, { credentials: [token] }]) {
        const { status, rows, text } = await revoke(which, true)
        expect(status).to.equal(200)
        expect(rows).to.deep.equal([
          {
            index: 0,
            id,
            account_id: 'acct_2',
            hint,
            found: true,
            status: 'active',
            last_accessed: null,
            revoked: false,
            why: 'dry_run',
          },
        ])
        expect(text).not.to.contain(token)
      }
      expect(await statusOf(id)).to.equal('active')
    })

    it('names them by id or by secret, and gets an answer for each in its order', async () => {
      const [a, b, c] = [await created(0), await created(1), await created(0)]
      await operator.delete(`${ALL}/${c.id}`)
      const ids = [b.id, UNKNOWN, c.id, 'nothing', a.id, a.id]
      const byId = await revoke({ ids })
      expect(byId.rows.map(({ index, id, revoked, why }) => [index, id, revoked, why])).to.deep.equal([
        [0, b.id, true, null],
        [1, null, false, 'not_found'],
        [2, c.id, false, 'already_revoked'],
        [3, null, false, 'not_found'],
        [4, a.id, true, null],
        [5, a.id, false, 'already_revoked'],
      ])
      const d = await created(1)
      const byValue = await revoke({ credentials: ['no token', d.token, a.token] })
      expect(byValue.rows.map(({ id, why }) => [id, why])).to.deep.equal([
        [null, 'not_found'],
        [d.id, null],
        [a.id, 'already_revoked'],
      ])
      for (const { id } of [a, b, d]) expect(await statusOf(id)).to.equal('revoked')
      expect((await callerOf(service.url, tokenHeader(d.token)).get('/auth/verify')).status).to.equal(401)
    })

    it('takes a secret that has retired for none of the token, whose newer one stays good', async () => {
      const token = await created(1)
      const owner = callerOf(service.url, bearer(jwtFor(token.account_id)))
      const rotate = async (input: object) =>
        (await owner.post(`${TOKENS}/${token.id}/rotations`, input)).body.token
      const second = await rotate({ activate: 'now', grace_seconds: 60 })
      const credentials = [token.token, second]
      const whys = async (isDryRun = false) =>
        (await revoke({ credentials }, isDryRun)).rows.map(({ id, found, why }) => [id, found, why])
      expect(await whys(true)).to.deep.equal([
        [token.id, true, 'dry_run'],
        [token.id, true, 'already_revoked'],
      ])
      now += 60_000
      expect(await whys(true)).to.deep.equal([
        [token.id, true, 'secret_retired'],
        [token.id, true, 'dry_run'],
      ])
      const third = await rotate({ activate: 'now', grace_seconds: 0 })
      expect(await whys()).to.deep.equal([
        [token.id, true, 'secret_retired'],
        [token.id, true, 'secret_retired'],
      ])
      expect((await callerOf(service.url, tokenHeader(third)).get('/auth/verify')).status).to.equal(200)
      credentials.push(third)
      expect((await whys()).at(-1)).to.deep.equal([token.id, true, null])
      expect((await whys()).map(([, , why]) => why)).to.deep.equal(Array(3).fill('already_revoked'))
    })

    it('names an account, whose expired tokens go as well', async () => {
      const owner = callerOf(service.url, bearer(jwtFor('acct_3')))
      await createToken(owner, { expires_at: new Date(now + 60_000).toISOString() })
      await createToken(owner)
      now += 60_000
      const dry = await revoke({ account_id: 'acct_3' }, true)
      expect(dry.rows.map(({ status }) => status)).to.deep.equal(['expired', 'active'])
      const { rows, body } = await revoke({ account_id: 'acct_3' })
      expect(rows.map(({ revoked }) => revoked)).to.deep.equal([true, true])
      expect(body).to.include({ remaining: 0 })
      expect((await owner.get(`${TOKENS}?status=live`)).body.data).to.deep.equal([])
      expect((await revoke({ account_id: 'acct_3' })).rows).to.deep.equal([])
    })

    it('has the reason in each history, and no secret in any', async () => {
      const { id, token } = await created(0)
      await revoke({ credentials: [token], reason: 'found in a public place' })
      const { body, text } = await operator.get(`${ALL}/${id}/events`)
      expect(body.data.at(-1)?.data).to.deep.equal({ reason: 'found in a public place' })
      expect(text).not.to.contain(token)
      const refused = await operator.post('/admin/revocations', { ids: [id], reason: `it was ${token}` })
      expect(refused.status).to.equal(422)
      expect(refused.body.errors[0]?.pointer).to.equal('/reason')
      expect(refused.text).not.to.contain(token)
    })

    it('is told what is wrong with the input, and nothing is revoked', async () => {
      const { id } = await created(0)
      const wrong: Record<string, object> = {
        'nothing named': {},
        'two ways of naming': { ids: [id], account_id: 'acct_1' },
        'no reason': { ids: [id], reason: undefined },
        'an empty reason': { ids: [id], reason: '' },
        'a reason of blanks': { ids: [id], reason: ' \u00a0\u200b' },
        'a long reason': { ids: [id], reason: 'x'.repeat(201) },
        'no ids': { ids: [] },
        'too many': { ids: Array.from({ length: 1001 }, () => id) },
        'ids of another kind': { ids: [7] },
        'a misspelt member': { ids: [id], dryrun: true },
        'a dry run that is a text': { ids: [id], dry_run: 'true' },
      }
      for (const [what, input] of Object.entries(wrong))
        expect((await revoke(input)).status, what).to.equal(422)
      const [twice] = (await revoke({ ids: [id], account_id: 'acct_1' })).body.errors
      expect(twice?.pointer, 'the whole body, by RFC 6901').to.equal('')
      const long = { credentials: Array.from({ length: 600 }, () => 'x'.repeat(512)) }
      expect((await revoke(long)).status).to.equal(413)
      expect(
        (await operator.post('/admin/revocations', 'ids=1', { 'Content-Type': 'text/plain' })).status,
      ).to.equal(415)
      expect(
        (await operator.post('/admin/revocations', '{', { 'Content-Type': 'application/json' })).status,
      ).to.equal(400)
      expect(await statusOf(id)).to.equal('active')
    })
  })

  it('is the only one to whom anything under /admin/ exists', async () => {
    const { id, token } = await created(0)
    const asUser = (user: object) => ({ 'X-Login': JSON.stringify(user) })
    const strangers: Record<string, [headers: Record<string, string>, status: number]> = {
      'without a credential': [{}, 401],
      'with a bad JWT': [bearer('x.y.z'), 401],
      'with the JWT of a closed account': [bearer(jwtFor('closed')), 401],
      'with a JWT that has expired': [bearer(operatorJwt({ exp: 1 })), 401],
      'with a JWT of another secret': [bearer(jwtFor('ann', { scope: SCOPE }, 'x'.repeat(32))), 401],
      'with a bad token': [tokenHeader('tkl_nothing'), 401],
      'with a token': [tokenHeader(token), 404],
      'with a JWT': [bearer(jwtFor('acct_1', { scope: 'other' })), 404],
      'with a JWT with no scopes': [bearer(jwtFor('acct_1')), 404],
      'as a user': [asUser({ accountId: 'acct_1' }), 404],
      'as a user with the scope': [asUser({ accountId: 'acct_1', scopes: [SCOPE] }), 404],
    }
    const paths: [method: string, path: string][] = [
      ['GET', ALL],
      ['PUT', ALL],
      ['GET', `${ALL}/${id}`],
      ['DELETE', `${ALL}/${id}`],
      ['POST', '/admin/revocations'],
      ['GET', '/admin/nothing'],
      ['GET', '/admin/'],
    ]
    for (const [who, [headers, status]] of Object.entries(strangers))
      for (const [method, path] of paths) {
        const answer = await fetch(service.url + path, { method, headers })
        expect(answer.status, `${who}: ${method} ${path}`).to.equal(status)
        const { detail } = (await answer.json()) as Body
        if (status === 404) expect(detail).to.equal('There is nothing here.')
      }
    expect((await operator.get(`${ALL}/${id}`)).body.status).to.equal('active')
    const mine = { headers: bearer(operatorJwt()) }
    expect((await fetch(`${service.url}/admin/nothing`, mine)).status).to.equal(404)
    expect((await fetch(`${service.url}${ALL}`, { method: 'PUT', ...mine })).status).to.equal(405)
  })

  it('may be a user of the host, who changes nothing without the right to write, nor from another origin', async () => {
    const { id } = await created(1)
    const as = (user: object, headers = {}) =>
      callerOf(service.url, {
        'X-Login': JSON.stringify({ accountId: 'staff', subject: 'eve', operator: true, ...user }),
        ...headers,
      })
    const reader = as({ can: ['read'] })
    expect((await reader.get(`${ALL}/${id}`)).status).to.equal(200)
    expect((await reader.delete(`${ALL}/${id}`)).body.code).to.equal('read_only')
    const body = { ids: [id], reason: 'x' }
    expect((await reader.post('/admin/revocations', body)).body.code).to.equal('read_only')
    const forged = as({}, { 'Sec-Fetch-Site': 'cross-site' })
    expect((await forged.delete(`${ALL}/${id}`)).body.code).to.equal('cross_origin')
    expect((await as({}).delete(`${ALL}/${id}`)).status).to.equal(204)
    const { data } = (await operator.get(`${ALL}/${id}/events`)).body
    expect(data.at(-1)?.actor).to.deep.equal({ kind: 'operator', id: 'eve' })
  })

  it('is made by no scope of a token: nobody can give it out', async () => {
    for (const owner of [owners[0] as Api, operator]) {
      const refused = await owner.post(TOKENS, { name: 'x', scopes: ['other', SCOPE] })
      expect(refused.status).to.equal(422)
      expect(refused.body.errors).to.deep.equal([
        { pointer: '/scopes/1', message: 'is not one of the scopes that tokens can have' },
      ])
    }
    const { id } = await created(0)
    expect((await (owners[0] as Api).patch(`${TOKENS}/${id}`, { scopes: [SCOPE] })).status).to.equal(422)
    const refused = service.ledger.tokens.create('acct_1', { name: 'x', scopes: [SCOPE] }, { actor: 'tests' })
    expect(await refused.catch(({ code }) => code)).to.equal('validation_failed')
  })
})

describe('The scope of operators', () => {
  it('is what OPERATOR_SCOPE says', async () => {
    const service = await startLedger({ operatorScope: 'staff' })
    const ask = (scope: string) => callerOf(service.url, bearer(jwtFor('ann', { scope }))).get(ALL)
    expect((await ask('staff')).status).to.equal(200)
    expect((await ask(SCOPE)).status).to.equal(404)
    await service.close()
  })

  it('is none with an issuer of keys, unless it is said', async () => {
    const issuer = await startIssuer()
    const key = signingKey('a')
    issuer.publish(key)
    const jwt = signedBy(key, { iss: issuer.url, scope: SCOPE })
    for (const [options, status] of [
      [{}, 404],
      [{ operatorScope: SCOPE }, 200],
    ] as const) {
      const service = await startLedger({ jwt: { issuer: issuer.url }, ...options })
      expect((await callerOf(service.url, bearer(jwt)).get(ALL)).status).to.equal(status)
      await service.close()
    }
    await issuer.close()
  })
})
