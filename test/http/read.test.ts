import { expect } from 'chai'
import {
  type Answer,
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

describe('Reading a token', () => {
  let service: TestService
  let owner: Api
  let token: Body

  before(async () => {
    service = await startLedger()
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    token = await createToken(owner, { name: 'mine' })
  })
  after(() => service.close())

  it('shows the resource that its creation showed, without the credential', async () => {
    const { status, headers, body } = await owner.get(`${TOKENS}/${token.id}`)
    const { token: _, ...resource } = token
    expect(status).to.equal(200)
    expect(headers.get('etag')).to.equal('"0"')
    expect(body).to.deep.equal(resource)
  })

  it('is for tokens too: each may read the whole account, and itself as self', async () => {
    const other = await createToken(owner)
    const asToken = callerOf(service.url, tokenHeader(token.token))
    expect((await asToken.get(`${TOKENS}/${other.id}`)).body.id).to.equal(other.id)
    const self = await asToken.get(`${TOKENS}/self`)
    expect(self.status).to.equal(200)
    expect(self.body.id).to.equal(token.id)
    expect(self.headers.get('etag')).to.equal('"0"')
  })

  it('has no self for a JWT', async () => {
    expect((await owner.get(`${TOKENS}/self`)).status).to.equal(404)
    expect((await owner.delete(`${TOKENS}/self`)).status).to.equal(404)
  })

  it('still shows a revoked token', async () => {
    const { id } = await createToken(owner)
    await owner.delete(`${TOKENS}/${id}`)
    const { status, body } = await owner.get(`${TOKENS}/${id}`)
    expect(status).to.equal(200)
    expect(body.status).to.equal('revoked')
    expect(body.revoked_at).to.be.a('string')
  })

  it('answers HEAD like GET, without a body', async () => {
    const { status, headers, text } = await owner.send('HEAD', `${TOKENS}/${token.id}`)
    expect(status).to.equal(200)
    expect(headers.get('etag')).to.equal('"0"')
    expect(text).to.equal('')
  })

  it('answers the same 404 for a foreign, an unknown and a malformed id, on every route with an id', async () => {
    const stranger = callerOf(service.url, bearer(jwtFor('acct_2')))
    const malformed = [
      'nonsense',
      token.id.toUpperCase(),
      `${token.id}0`,
      '%00',
      '%E0%A4%A',
      "'%20OR%201=1",
      '..%2f',
      '%7B%7D',
    ]
    const unknown = ['01890000-0000-7000-8000-000000000000', '00000000-0000-0000-0000-000000000000']
    const answers: Answer[] = []
    for (const id of [token.id, ...unknown, ...malformed]) {
      const path = `${TOKENS}/${id}`
      answers.push(
        await stranger.get(path),
        await stranger.patch(path, { name: 'x' }),
        await stranger.delete(path),
        await stranger.get(`${path}/usage`),
        await stranger.get(`${path}/events`),
      )
    }
    for (const { status, body } of answers) {
      expect(status).to.equal(404)
      expect({ ...body, request_id: '' }).to.deep.equal({ ...answers[0]?.body, request_id: '' })
    }
    expect((await owner.get(`${TOKENS}/${token.id}`)).body.revision).to.equal(0)
  })

  it('refuses query parameters it does not know', async () => {
    const asToken = callerOf(service.url, tokenHeader(token.token))
    for (const path of [
      `${TOKENS}/${token.id}`,
      `${TOKENS}/${token.id}/events`,
      `${TOKENS}/${token.id}/usage`,
      TOKENS,
      `${TOKENS}/self`,
    ]) {
      const { status, body } = await asToken.get(`${path}?verbose=1`)
      expect(status, path).to.equal(422)
      expect(body.errors).to.deep.equal([{ pointer: '?verbose', message: 'is not known' }])
    }
  })

  it('answers 405 with Allow for another method, and 404 for another path', async () => {
    const put = await owner.send('PUT', TOKENS)
    expect(put.status).to.equal(405)
    expect(put.headers.get('allow')?.split(', ')).to.have.members(['GET', 'HEAD', 'POST'])
    const post = await owner.send('POST', `${TOKENS}/${token.id}`)
    expect(post.headers.get('allow')?.split(', ')).to.have.members(['GET', 'HEAD', 'PATCH', 'DELETE'])
    expect((await owner.send('OPTIONS', TOKENS)).status).to.equal(405)
  })

  it('names in Allow the methods of the route that has the path, and takes no word for an id', async () => {
    const id = '01890000-0000-7000-8000-000000000000'
    for (const [path, allow] of [
      [TOKENS, 'HEAD, GET, POST'],
      [`${TOKENS}/usage`, 'HEAD, GET'],
      [`${TOKENS}/report`, 'HEAD, GET'],
      [`${TOKENS}/self`, 'HEAD, GET, DELETE'],
      [`${TOKENS}/${id}`, 'HEAD, GET, PATCH, DELETE'],
      [`${TOKENS}/${id}/usage`, 'HEAD, GET'],
      [`${TOKENS}/${id}/events`, 'HEAD, GET'],
      [`${TOKENS}/${id}/blast-radius`, 'HEAD, GET'],
      ['/docs', 'HEAD, GET'],
      ['/docs/start.js', 'HEAD, GET'],
      ['/openapi.json', 'HEAD, GET'],
      ['/metrics', 'HEAD, GET'],
      ['/health/live', 'HEAD, GET'],
      ['/health/ready', 'HEAD, GET'],
    ] as const) {
      for (const method of ['OPTIONS', 'HEAD', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
        const { status, headers } = await owner.send(method, path)
        const isThere = allow.split(', ').includes(method)
        expect(status === 405, `${method} ${path} is ${status}`).to.equal(!isThere)
        expect(headers.get('allow'), `${method} ${path}`).to.equal(isThere ? null : allow)
      }
    }
    expect((await owner.send('POST', '/health/live')).status).to.equal(405)
    for (const path of [
      '/',
      '/settings',
      `${TOKENS}/${token.id}/nonsense`,
      `${TOKENS}/${token.id}/events/1`,
      '/auth',
    ]) {
      expect((await owner.get(path)).status, path).to.equal(404)
    }
  })

  it('tells paths apart by case: what a proxy blocks by path stays blocked', async () => {
    expect((await owner.get('/Settings/API-Tokens')).status).to.equal(404)
    expect((await owner.get('/METRICS')).status).to.equal(404)
  })
})
