import { expect } from 'chai'
import { type Api, bearer, callerOf, createToken, TOKENS } from '../support/callers/caller.ts'
import { type OpenStream, openStream } from '../support/callers/eventStream.ts'
import { jwtFor, SECRET, startLedger, type TestService } from '../support/processes/ledger.ts'
import { eventually } from '../support/suite/eventually.ts'

describe('The stream of an account', () => {
  let service: TestService
  let owner: Api
  let open: OpenStream[]

  beforeEach(async () => {
    open = []
    service = await startLedger({ jwt: { secret: SECRET, leewaySeconds: 0 } })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  afterEach(async () => {
    for (const stream of open) stream.close()
    await service.close()
  })

  async function follow(query = '', headers: Record<string, string> = {}, jwt = jwtFor('acct_1')) {
    const stream = await openStream(`${service.url}${TOKENS}/events${query}`, { ...bearer(jwt), ...headers })
    open.push(stream)
    return stream
  }

  it('has what was, and then what happens, as the pages have it', async () => {
    const one = await createToken(owner)
    const stream = await follow()
    expect(stream.status).to.equal(200)
    expect(stream.headers.get('content-type')).to.equal('text/event-stream; charset=utf-8')
    expect(stream.headers.get('cache-control')).to.equal('no-store')
    expect(stream.headers.get('x-content-type-options')).to.equal('nosniff')
    expect(stream.headers.get('x-request-id')).to.be.a('string')
    const first = await stream.next()
    await createToken(callerOf(service.url, bearer(jwtFor('acct_2'))))
    await owner.patch(`${TOKENS}/${one.id}`, { name: 'new' })
    const second = await stream.next()
    await owner.delete(`${TOKENS}/${one.id}`)
    const third = await stream.next()
    const { data } = (await owner.get(`${TOKENS}/events`)).body
    expect([first.data, second.data, third.data]).to.deep.equal(data)
    expect(third.id > second.id && second.id > first.id).to.equal(true)
  })

  it('goes on behind the event that the reader saw last, which wins over where it once began', async () => {
    for (const name of ['one', 'two', 'three']) await createToken(owner, { name })
    const before = await follow()
    const seen = [await before.next(), await before.next()]
    before.close()
    const resumed = await follow('?after=0', { 'last-event-id': String(seen[1]?.id) })
    expect((await resumed.next()).data).to.have.nested.property('data.name', 'three')
    const later = await follow(`?after=${seen[0]?.id}`)
    expect((await later.next()).data).to.have.nested.property('data.name', 'two')
  })

  it('leaves out types that were not asked for', async () => {
    const stream = await follow('?types=TokenRevoked')
    const { id } = await createToken(owner)
    await owner.delete(`${TOKENS}/${id}`)
    expect((await stream.next()).data).to.include({ type: 'TokenRevoked', token_id: id })
  })

  it('loses nothing and has nothing twice, whenever readers come and while others write', async () => {
    const made: string[] = []
    const write = async () => {
      for (let n = 0; n < 40; n++) made.push((await createToken(owner, { name: `n${n}` })).id)
    }
    const writing = Promise.all([write(), write()])
    const streams: OpenStream[] = []
    for (let n = 0; n < 5; n++) {
      await eventually(() => expect(made.length).to.be.greaterThan(n * 10))
      streams.push(await follow())
    }
    await writing
    for (const stream of streams) {
      const seen: unknown[] = []
      while (seen.length < made.length) seen.push((await stream.next()).data.token_id)
      expect(new Set(seen)).to.deep.equal(new Set(made))
    }
  })

  it('is there ten times for an account, and others have theirs', async () => {
    for (let n = 0; n < 10; n++) expect((await follow()).status).to.equal(200)
    const refused = await follow()
    expect(refused.status).to.equal(429)
    expect(refused.headers.get('retry-after')).to.match(/^\d+$/)
    expect(refused.headers.get('ratelimit')).to.equal('"streams";r=0')
    expect(refused.headers.get('ratelimit-policy')).to.equal('"streams";q=10;qu="concurrent-requests"')
    expect((await follow('', {}, jwtFor('acct_2'))).status).to.equal(200)
    expect((await owner.get(`${TOKENS}/events`)).status, 'a page').to.equal(200)
    open[3]?.close()
    await eventually(async () => expect((await follow()).status).to.equal(200))
  })

  it('ends when the JWT does', async () => {
    const exp = Math.floor(Date.now() / 1000) + 2
    const stream = await follow('', {}, jwtFor('acct_1', { exp }))
    await createToken(owner)
    await stream.next()
    await stream.ended
    expect(Date.now()).to.be.at.least(exp * 1000)
  })

  it('ends at once when the service stops, and so does one that comes then', async () => {
    const stream = await follow()
    const drained = service.ledger.drain()
    await stream.ended
    await drained
    const late = await follow()
    await late.ended
  })

  it('holds up no end of the ledger', async () => {
    const stream = await follow()
    await service.ledger.close()
    await stream.ended
  })
})
