import { expect } from 'chai'
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

describe('The history of a token', () => {
  let now = Date.parse('2026-11-23T12:00:00.000Z')
  let service: TestService
  let owner: Api
  let token: Body
  let path: string

  before(async () => {
    service = await startLedger({ clock: () => now })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    token = await createToken(owner, { name: 'first', expires_at: '2027-01-01T00:00:00Z' })
    path = `${TOKENS}/${token.id}`
    now += 1000
    await owner.patch(path, { name: 'second', scopes: ['a'] }, { 'X-Request-Id': 'my-own-id.1' })
    now += 1000
    await owner.patch(path, { expires_at: null })
    now += 1000
    await callerOf(service.url, tokenHeader(token.token)).delete(`${TOKENS}/self?reason=leaked`)
  })
  after(() => service.close())

  it('tells what was done, when, by whom and on which request, oldest first', async () => {
    const { status, body } = await owner.get(`${path}/events`)
    expect(status).to.equal(200)
    expect(body.next_cursor).to.equal(null)
    const byJwt = { kind: 'jwt', id: 'acct_1' }
    expect(
      body.data.map(({ type, revision, at, actor, data }: EventRow) => ({ type, revision, at, actor, data })),
    ).to.deep.equal([
      {
        type: 'TokenCreated',
        revision: 0,
        at: '2026-11-23T12:00:00.000Z',
        actor: byJwt,
        data: {
          token_id: token.id,
          account_id: 'acct_1',
          name: 'first',
          hint: token.hint,
          scopes: [],
          expires_at: '2027-01-01T00:00:00.000Z',
          description: null,
          metadata: {},
          allowed_ips: null,
          rotatable: false,
        },
      },
      {
        type: 'TokenUpdated',
        revision: 1,
        at: '2026-11-23T12:00:01.000Z',
        actor: byJwt,
        data: { name: 'second', scopes: ['a'] },
      },
      {
        type: 'TokenUpdated',
        revision: 2,
        at: '2026-11-23T12:00:02.000Z',
        actor: byJwt,
        data: { expires_at: null },
      },
      {
        type: 'TokenRevoked',
        revision: 3,
        at: '2026-11-23T12:00:03.000Z',
        actor: { kind: 'token', id: token.id },
        data: { reason: 'leaked' },
      },
    ])
    expect(body.data[1]?.request_id).to.equal('my-own-id.1')
  })

  it('never shows the hash, its key or the credential', async () => {
    const { text } = await owner.get(`${path}/events`)
    expect(text).not.to.match(/hash|[0-9a-f]{64}|k1\b/i)
    expect(text).not.to.include(token.token)
  })

  it('comes page by page', async () => {
    const rows: unknown[] = []
    let next = `${path}/events?limit=3`
    for (let pages = 0; next !== ''; pages++) {
      const { body, headers } = await owner.get(next)
      rows.push(...body.data)
      expect(pages).to.be.below(3)
      next = /^<([^>]+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1] ?? ''
      expect(body.next_cursor === null).to.equal(next === '')
    }
    expect(rows).to.deep.equal((await owner.get(`${path}/events`)).body.data)
  })

  it('refuses a cursor of another list, and values that are none', async () => {
    await createToken(owner)
    await createToken(owner)
    const { body } = await owner.get(`${TOKENS}?limit=1`)
    for (const query of [`cursor=${body.next_cursor}`, 'cursor=x', 'limit=0', 'limit=101', 'sort=type']) {
      expect((await owner.get(`${path}/events?${query}`)).status, query).to.equal(422)
    }
  })

  it('has one row for each change that was made, and none for what was refused', async () => {
    const { id } = await createToken(owner)
    const other = `${TOKENS}/${id}`
    await owner.patch(other, { name: '' })
    await owner.patch(other, {})
    await owner.patch(other, { name: 'x' }, { 'If-Match': '"9"' })
    await owner.delete(other, { 'If-Match': '"9"' })
    expect((await owner.get(`${other}/events`)).body.data).to.have.lengthOf(1)
  })

  it('names times in order even when the clock is set back', async () => {
    const { id } = await createToken(owner)
    now -= 60_000
    await owner.patch(`${TOKENS}/${id}`, { name: 'earlier?' })
    const { body } = await owner.get(`${TOKENS}/${id}/events`)
    expect(body.data[1]?.at).to.equal(body.data[0]?.at)
  })
})

type EventRow = Body['data'][number]
