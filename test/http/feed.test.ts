import { expect } from 'chai'
import { LIFECYCLE_TYPES } from '../../src/domain/tokenEvents.ts'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

interface FeedEvent {
  id: string
  type: string
  token_id: string
  account_id: string
  data: Record<string, unknown>
}

const FEED = `${TOKENS}/events`
const told = (events: FeedEvent[]) => events.map(({ type, token_id: id }) => `${type} ${id}`)

describe('The feed of an account', () => {
  let service: TestService
  let owner: Api

  before(async () => {
    service = await startLedger()
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(() => service.close())

  const page = async (query = '', api = owner): Promise<{ data: FeedEvent[]; next: string }> => {
    const { status, body } = await api.get(`${FEED}${query}`)
    expect(status, query).to.equal(200)
    return body as unknown as { data: FeedEvent[]; next: string }
  }

  it('is empty for an account without tokens, and can be read on from there', async () => {
    const other = callerOf(service.url, bearer(jwtFor('acct_empty')))
    const { data, next } = await page('', other)
    expect(data).to.deep.equal([])
    expect(next).to.be.a('string')
    await createToken(other)
    expect((await page(`?after=${next}`, other)).data).to.have.lengthOf(1)
  })

  it('has all that happened to its tokens in the order in which it happened, at once, and nothing of others', async () => {
    const start = (await page('?limit=100')).next
    const one = await createToken(owner, { name: 'one' })
    const stranger = await createToken(callerOf(service.url, bearer(jwtFor('acct_2'))))
    const two = await createToken(owner, { name: 'two' })
    await owner.patch(`${TOKENS}/${one.id}`, { name: 'uno' })
    await owner.delete(`${TOKENS}/${two.id}`)
    await owner.delete(`${TOKENS}/${one.id}`)
    const { data } = await page(`?after=${start}`)
    expect(told(data)).to.deep.equal([
      `TokenCreated ${one.id}`,
      `TokenCreated ${two.id}`,
      `TokenUpdated ${one.id}`,
      `TokenRevoked ${two.id}`,
      `TokenRevoked ${one.id}`,
    ])
    expect(JSON.stringify(data)).not.to.include(stranger.id)
    for (const event of data) expect(event.account_id).to.equal('acct_1')
  })

  it('shows an event as the history of its token does, never a hash nor the address of a caller', async () => {
    const token = await createToken(owner, { scopes: ['a'] })
    const { text, body } = await owner.get(`${FEED}?limit=100`)
    const mine = (body.data as FeedEvent[]).filter((event) => event.token_id === token.id)
    const history = (await owner.get(`${TOKENS}/${token.id}/events`)).body.data
    expect(mine).to.deep.equal(
      history.map((event: object) => ({ ...event, token_id: token.id, account_id: 'acct_1' })),
    )
    expect(text).not.to.match(/hash|[0-9a-f]{64}|k1\b|127\.0\.0\.1/i)
    expect(text).not.to.include(token.token)
  })

  it('comes page by page, and says at its end from where to go on', async () => {
    const all = (await page('?limit=100')).data
    const read: FeedEvent[] = []
    let after = '0'
    for (let pages = 0; ; pages++) {
      expect(pages).to.be.below(100)
      const { data, next } = await page(`?limit=2&after=${after}`)
      read.push(...data)
      if (next === after) break
      after = next
    }
    expect(read).to.deep.equal(all)
    expect(await page(`?after=${after}`)).to.deep.equal({ data: [], next: after })
  })

  it('has only the types that are asked for', async () => {
    const all = (await page('?limit=100')).data
    const wanted = ['TokenUpdated', 'TokenRevoked']
    const { data } = await page(`?limit=100&types=${wanted.join(',')}`)
    expect(data).to.deep.equal(all.filter(({ type }) => wanted.includes(type)))
    expect(data).not.to.deep.equal([])
  })

  it('does not give a token what happened to others', async () => {
    const token = await createToken(owner)
    for (const path of [FEED, `${FEED}?after=x`]) {
      const { status, body } = await callerOf(service.url, tokenHeader(token.token)).get(path)
      expect(status).to.equal(403)
      expect(body.code).to.equal('token_may_not_manage')
      expect(body.detail).to.contain('a JWT, or the login of an app')
    }
    expect((await callerOf(service.url, {}).get(FEED)).status).to.equal(401)
  })

  it('refuses what is no position, no type and no number, and what it does not know', async () => {
    const position = (await page()).next
    for (const query of [
      'after=',
      'after=x',
      `after=${position}0000000000`,
      'after=3',
      `after=${'1'.repeat(20)}-${'1'.repeat(20)}`,
      'after=-1',
      'types=',
      'types=TokenUsed',
      'types=TokenCreated,',
      'types=__proto__',
      'limit=0',
      'limit=101',
      'limit=x',
      'cursor=a',
      'before=1',
      `after=${position}&after=${position}`,
    ]) {
      const { status, body } = await owner.get(`${FEED}?${query}`)
      expect(status, query).to.equal(422)
      expect(body.code, query).to.equal('validation_failed')
    }
    const resumed = { Accept: 'text/event-stream', 'Last-Event-ID': '3' }
    expect((await owner.get(FEED, resumed)).body.code).to.equal('malformed_request')
    expect((await owner.get(`${FEED}?after=3`, { Accept: 'text/event-stream' })).status).to.equal(422)
    const { errors } = (await owner.get(`${FEED}?types=TokenMade`)).body
    expect(errors).to.deep.equal([
      {
        pointer: '?types',
        message: `must be types of events, separated by commas, out of ${LIFECYCLE_TYPES.join(', ')}`,
      },
    ])
    const bad = await owner.get(FEED, { accept: 'text/event-stream', 'last-event-id': 'x' })
    expect(bad.status).to.equal(400)
    expect(bad.body.detail).to.contain('id: line')
    // An event has an id in the JSON as well, which is another one.
    const { data } = await page()
    const byId = await owner.get(`${FEED}?after=${data[0]?.id}`)
    expect(byId.body.errors).to.deep.equal([
      { pointer: '?after', message: 'must be the next of a page, or what an id: line of the stream has' },
    ])
    expect((await owner.post(FEED, {})).status).to.equal(405)
  })

  it('gives a page, and no stream, to whoever does not ask for one', async () => {
    for (const accept of ['*/*', 'application/json', 'text/html', 'application/json, text/event-stream']) {
      const { headers } = await owner.get(FEED, { accept })
      expect(headers.get('content-type'), accept).to.equal('application/json; charset=utf-8')
    }
    const head = await fetch(service.url + FEED, {
      method: 'HEAD',
      headers: { ...bearer(jwtFor('acct_1')), accept: 'text/event-stream' },
    })
    expect(head.status).to.equal(200)
  })
})
