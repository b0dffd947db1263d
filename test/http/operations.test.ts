import { expect } from 'chai'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const UNKNOWN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'

describe('What the service says about itself', () => {
  let service: TestService
  let anyone: Api
  let owner: Api

  before(async () => {
    service = await startLedger()
    anyone = callerOf(service.url)
    owner = anyone.with(bearer(jwtFor('acct_1')))
  })
  after(() => service.close())

  it('is open to everybody, and asks nobody for a credential', async () => {
    for (const path of ['/health/live', '/health/ready', '/metrics', '/openapi.json', '/docs']) {
      expect((await anyone.get(path)).status, path).to.equal(200)
      expect((await anyone.get(path, { ...tokenHeader('bad'), ...bearer('bad') })).status, path).to.equal(200)
      expect((await anyone.send('HEAD', path)).status, path).to.equal(200)
      expect((await anyone.send('DELETE', path)).status, path).to.equal(405)
    }
  })

  it('is alive and ready', async () => {
    expect((await anyone.get('/health/live')).body).to.deep.equal({ status: 'ok' })
    expect((await anyone.get('/health/ready')).body).to.deep.equal({
      status: 'ready',
      checks: {
        event_store: 'ok',
        read_model: 'ok',
        projector: { lag_seconds: 0 },
        service: 'running',
      },
      reason: null,
    })
  })

  it('measures requests by route pattern and status, never by path', async () => {
    const { id, token } = await createToken(owner)
    await owner.get(`${TOKENS}/${id}`)
    await anyone.get('/auth/verify', tokenHeader(token))
    await anyone.get('/auth/verify/some/path', tokenHeader(token))
    await anyone.get('/nothing/here')
    const { text, headers } = await anyone.get('/metrics')
    expect(headers.get('content-type')).to.equal('text/plain; version=0.0.4; charset=utf-8')
    const count = 'tokenledger_http_request_duration_seconds_count'
    for (const labels of [
      `method="GET",route="${TOKENS}/:id",status="200"`,
      `method="POST",route="${TOKENS}",status="201"`,
      'method="GET",route="/auth/verify",status="200"',
      'method="GET",route="/auth/verify/*rest",status="200"',
      'method="GET",route="unmatched",status="404"',
    ]) {
      expect(text).to.include(`${count}{${labels}} 1`)
    }
    expect(text).not.to.include(id)
    expect(text).not.to.include('/nothing/here')
    expect(text).not.to.include('some/path')
  })

  it('counts credentials by kind and outcome: there a refusal says why', async () => {
    const outcomes = async () => {
      const { text } = await anyone.get('/metrics')
      const lines = text.matchAll(
        /^tokenledger_authentications_total\{kind="(\w+)",outcome="(\w+)"\} (\d+)$/gm,
      )
      return Object.fromEntries([...lines].map(([, kind, outcome, n]) => [`${kind} ${outcome}`, Number(n)]))
    }
    const gone = await createToken(owner)
    await owner.delete(`${TOKENS}/${gone.id}`)
    const before = await outcomes()
    for (const bad of ['bad', UNKNOWN, gone.token]) await anyone.get('/auth/verify', tokenHeader(bad))
    for (const bad of ['bad', jwtFor('acct_1', { exp: 1 })]) await anyone.get('/auth/verify', bearer(bad))
    const after = await outcomes()
    for (const outcome of [
      'token malformed',
      'token unknown',
      'token revoked',
      'jwt malformed',
      'jwt expired',
    ]) {
      expect((after[outcome] ?? 0) - (before[outcome] ?? 0), outcome).to.equal(1)
    }
  })

  it('gives every answer a request id: the caller’s own where it is a plain one', async () => {
    expect(
      (await anyone.get('/health/live', { 'X-Request-Id': 'abc-1.2_3' })).headers.get('x-request-id'),
    ).to.equal('abc-1.2_3')
    for (const odd of ['a b', 'x'.repeat(129), '', UNKNOWN, 'a"b', 'ü']) {
      const { headers } = await anyone.get('/health/live', { 'X-Request-Id': odd })
      expect(headers.get('x-request-id'), odd).to.match(/^[0-9a-f-]{36}$/)
    }
  })
})

describe('A service whose stores have gone', () => {
  it('answers 503 with Retry-After, never 401, says that it is not ready, and is alive', async () => {
    const service = await startLedger()
    try {
      const anyone = callerOf(service.url)
      const owner = anyone.with(bearer(jwtFor('acct_1')))
      const { token, id } = await createToken(owner)
      await anyone.get('/openapi.json')
      await service.ledger.close()
      const answers = await Promise.all([
        anyone.get('/auth/verify', tokenHeader(token)),
        anyone.get('/auth/verify', tokenHeader(UNKNOWN)),
        owner.get(`${TOKENS}/${id}`),
        owner.get(TOKENS),
        owner.get(`${TOKENS}/${id}/usage`),
        owner.post(TOKENS, { name: 'x' }),
        owner.patch(`${TOKENS}/${id}`, { name: 'x' }),
        owner.delete(`${TOKENS}/${id}`),
      ])
      for (const { status, headers, body } of answers) {
        expect(status).to.equal(503)
        expect(headers.get('retry-after')).to.match(/^[1-9]\d*$/)
        expect(headers.has('www-authenticate')).to.be.false
        expect(body.code).to.equal('store_unavailable')
        expect(body.detail).to.equal('Try again in a moment.')
      }
      expect((await owner.get('/auth/verify')).status, 'a JWT needs no store').to.equal(200)
      expect(
        (await anyone.get('/auth/verify', tokenHeader('malformed'))).status,
        'nor does nonsense',
      ).to.equal(401)
      const ready = await anyone.get('/health/ready')
      expect(ready.status).to.equal(503)
      expect(ready.body.status).to.equal('not_ready')
      expect((await anyone.get('/health/live')).status).to.equal(200)
    } finally {
      await service.close()
    }
  })

  it('says nothing of what went wrong inside, and logs it under the same request id', async () => {
    const lines: { fields: object; message: string }[] = []
    const write = (fields: object, message: string) => lines.push({ fields, message })
    const service = await startLedger({
      log: { debug() {}, info() {}, warn() {}, error: write },
      resolveAccount: () => {
        throw new Error('the password of the host database is hunter2')
      },
    })
    try {
      const { status, body, text } = await callerOf(service.url).get('/auth/verify', bearer(jwtFor('acct_1')))
      expect(status).to.equal(500)
      expect(body.code).to.equal('internal_error')
      expect(text).not.to.include('hunter2')
      const line = lines.find(({ fields }) => 'requestId' in fields && fields.requestId === body.request_id)
      expect(line?.fields).to.have.property('err').that.is.an('error')
    } finally {
      await service.close()
    }
  })
})
