import { expect } from 'chai'
import { bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { codeOf, cookieOf, exchange, linkFor, sessionOf } from '../support/callers/portal.ts'
import { answersIn, exchange as exchangeBytes } from '../support/callers/raw.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const PORTAL = '/settings/portal-sessions'
const OPERATOR = 'tokenledger:operator'

describe('A link to the page', () => {
  let service: TestService
  let now = Date.now()
  const closed = new Set<string>()
  const logged: string[] = []
  const log = (fields: object, message: string) => void logged.push(JSON.stringify({ ...fields, message }))
  before(async () => {
    service = await startLedger({
      publicUrl: 'http://127.0.0.1/ledger',
      portalReturnUrls: 'https://app.example.com/settings',
      clock: () => now,
      resolveAccount: (id) => (closed.has(id) ? null : { id }),
      log: { debug: log, info: log, warn: log, error: log },
    })
  })
  after(() => service.close())

  const owner = (claims: object = {}) => callerOf(service.url, bearer(jwtFor('acct_1', claims)))
  const page = (path: string, cookie: string, init: RequestInit = {}) =>
    fetch(`${service.url}/tokens/api/${path}`, {
      ...init,
      headers: { cookie, 'sec-fetch-site': 'same-origin', ...(init.headers as Record<string, string>) },
    })

  it('is of the public URL, has its code in the fragment, and is good for a minute', async () => {
    const { status, body, headers } = await owner().post(PORTAL)
    const { url, expires_at: expiresAt } = body as unknown as { url: string; expires_at: string }
    expect(status).to.equal(201)
    expect(headers.get('cache-control')).to.equal('no-store')
    expect(url).to.match(/^http:\/\/127\.0\.0\.1\/ledger\/tokens#code=[\w.-]+$/)
    expect(Date.parse(expiresAt) - now).to.equal(60_000)
  })

  it('needs no body, however that is sent', async () => {
    const head = `POST ${PORTAL} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${jwtFor('acct_1')}\r\n`
    for (const rest of [
      '\r\n',
      'Content-Length: 0\r\n\r\n',
      'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ]) {
      const [answer] = answersIn(await exchangeBytes(service.url, head + rest))
      expect(answer?.status, rest).to.equal(201)
    }
  })

  it('is given to a JWT only, for good input only', async () => {
    expect((await callerOf(service.url).post(PORTAL)).status).to.equal(401)
    const { token } = await createToken(owner())
    expect((await callerOf(service.url, tokenHeader(token)).post(PORTAL)).body.code).to.equal(
      'token_may_not_manage',
    )
    expect((await owner().post(PORTAL, '{', { 'Content-Type': 'application/json' })).status).to.equal(400)
    expect((await owner().post(PORTAL, 'x', { 'Content-Type': 'text/plain' })).status).to.equal(415)
    expect((await owner().post(PORTAL, { return_url: 'x'.repeat(33_000) })).status).to.equal(413)
    for (const input of [
      { can: [] },
      { can: ['write'] },
      { can: ['read', 'read'] },
      { can: ['everything'] },
      { return_url: 'https://evil.example/settings' },
      { return_url: 'https://app.example.com/settings/../other' },
      { return_url: 'https://app.example.com/settings/.well-known/../../other' },
      { return_url: `https://app.example.com/settings?t=${token}` },
      { account: 'acct_2' },
    ]) {
      expect((await owner().post(PORTAL, input)).status, JSON.stringify(input)).to.equal(422)
    }
  })

  it('is given to no session of the page', async () => {
    const cookie = await sessionOf(service.url)
    const answer = await fetch(service.url + PORTAL, { method: 'POST', headers: { cookie } })
    expect(answer.status).to.equal(401)
  })

  it('gives out no more than its maker has', async () => {
    expect((await owner().post(PORTAL, { can: ['read', 'operate'] })).body.code).to.equal(
      'insufficient_scope',
    )
    const cookie = await sessionOf(service.url, 'acct_1', {}, { scope: 'orders:read' })
    const create = (scopes: string[]) =>
      page('tokens', cookie, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'of the page', scopes }),
      })
    expect((await create(['orders:write'])).status).to.equal(403)
    expect((await create(['orders:read'])).status).to.equal(201)
    const operator = { scope: OPERATOR }
    const plain = await sessionOf(service.url, 'acct_1', {}, operator)
    expect((await page('admin/api-tokens', plain)).status, 'not named').to.equal(404)
    const named = await sessionOf(service.url, 'acct_1', { can: ['read', 'operate'] }, operator)
    expect((await page('admin/api-tokens', named)).status).to.equal(200)
    const revoking = await page('admin/api-tokens/01890000-0000-7000-8000-000000000000', named, {
      method: 'DELETE',
    })
    expect(revoking.status, 'may only read').to.equal(403)
  })

  it('with more scopes than a cookie can hold is refused', async () => {
    const scope = Array.from({ length: 60 }, (_, i) => `orders:${'x'.repeat(55)}${i}`).join(' ')
    const { status, body } = await owner({ scope }).post(PORTAL)
    expect([status, body.errors]).to.deep.equal([
      422,
      [{ pointer: '', message: 'the scopes of the JWT are too long for a session' }],
    ])
  })

  it('with a return_url that a cookie cannot hold is refused for that', async () => {
    const { status, body } = await owner({ scope: 'orders:read' }).post(PORTAL, {
      return_url: `https://app.example.com/settings/${'🐘'.repeat(400)}`,
    })
    expect([status, body.errors]).to.deep.equal([
      422,
      [{ pointer: '/return_url', message: 'is too long for a session, with the scopes of the JWT' }],
    ])
  })

  it('opens a session in a cookie that no script and no other site can use, for an hour', async () => {
    const answer = await exchange(service.url, codeOf(await linkFor(service.url)))
    expect(answer.status).to.equal(204)
    expect(answer.headers.get('set-cookie')).to.match(
      /^tokenledger=[\w.-]+; Max-Age=3600; Path=\/; HttpOnly; SameSite=Strict$/,
    )
    const cookie = cookieOf(answer)
    const session = (await (await page('session', cookie)).json()) as Record<string, unknown>
    expect(session).to.include({
      account_id: 'acct_1',
      subject: 'acct_1',
      can_write: true,
      is_operator: false,
    })
    now += 3_600_000
    expect((await page('session', cookie)).status).to.equal(401)
    expect((await page('tokens', cookie)).status).to.equal(401)
  })

  it('works once, also when it is used many times at once', async () => {
    const code = codeOf(await linkFor(service.url))
    const statuses = (await Promise.all(Array.from({ length: 8 }, () => exchange(service.url, code)))).map(
      ({ status }) => status,
    )
    expect(statuses.toSorted((a, b) => a - b)).to.deep.equal([204, ...Array<number>(7).fill(409)])
    const again = await exchange(service.url, code)
    expect(((await again.json()) as { code: string }).code).to.equal('portal_link_used')
    expect(again.headers.get('set-cookie')).to.equal(null)
  })

  it('that is too old, or made up, opens nothing', async () => {
    const code = codeOf(await linkFor(service.url))
    now += 60_000
    const session = cookieOf(await exchange(service.url, codeOf(await linkFor(service.url)))).replace(
      'tokenledger=',
      '',
    )
    for (const bad of [code, `${code}x`, session, 'dev.AAAA']) {
      const answer = await exchange(service.url, bad)
      expect(((await answer.json()) as { code: string }).code).to.equal('portal_link_refused')
      expect(answer.headers.get('set-cookie')).to.equal(null)
    }
    expect((await exchange(service.url, 'x'.repeat(10_000))).status).to.equal(422)
  })

  it('of another account than the open session asks first, and is not used up by that', async () => {
    const cookie = await sessionOf(service.url, 'acct_1')
    const code = codeOf(await linkFor(service.url, 'acct_2'))
    const asked = await exchange(service.url, code, {}, { cookie })
    expect(((await asked.json()) as { code: string }).code).to.equal('other_account')
    const switched = await exchange(service.url, code, { replace: true }, { cookie })
    expect(switched.status).to.equal(204)
    const session = (await (await page('session', cookieOf(switched))).json()) as { account_id: string }
    expect(session.account_id).to.equal('acct_2')
  })

  it('cannot be used, and nobody signed out, by a page of another origin', async () => {
    const code = codeOf(await linkFor(service.url))
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': '', origin: 'https://evil.example' },
    ] as Record<string, string>[]) {
      expect((await exchange(service.url, code, {}, headers)).status).to.equal(403)
    }
    const cookie = await sessionOf(service.url)
    for (const [method, path] of [
      ['DELETE', 'session'],
      ['POST', 'tokens'],
      ['DELETE', 'tokens/01890000-0000-7000-8000-000000000000'],
      ['PATCH', 'tokens/01890000-0000-7000-8000-000000000000'],
    ] as const) {
      const answer = await page(path, cookie, { method, headers: { 'sec-fetch-site': 'cross-site' } })
      expect(answer.status, `${method} ${path}`).to.equal(403)
      expect(answer.headers.get('set-cookie')).to.equal(null)
    }
    expect((await exchange(service.url, code)).status, 'it was not used up').to.equal(204)
  })

  it('signing out takes the cookie away', async () => {
    const cookie = await sessionOf(service.url)
    const answer = await page('session', cookie, { method: 'DELETE' })
    expect(answer.headers.get('set-cookie')).to.match(/^tokenledger=; Max-Age=0; /)
  })

  it('the host is asked for the account on each request', async () => {
    const cookie = await sessionOf(service.url, 'acct_3')
    expect((await page('tokens', cookie)).status).to.equal(200)
    closed.add('acct_3')
    expect((await page('tokens', cookie)).status).to.equal(401)
    closed.clear()
  })

  it('of an account that the host has closed opens nothing, and ends what it has opened, for operators, too', async () => {
    const operator = { scope: OPERATOR }
    const can = ['read', 'write', 'operate']
    const made = await createToken(owner())
    const cookie = await sessionOf(service.url, 'acct_4', { can }, operator)
    const code = codeOf(await linkFor(service.url, 'acct_4', { can }, operator))
    expect((await page('admin/api-tokens', cookie)).status).to.equal(200)
    closed.add('acct_4')
    for (const [method, path] of [
      ['GET', 'session'],
      ['GET', 'tokens'],
      ['GET', 'admin/api-tokens'],
      ['GET', 'admin/events'],
      ['DELETE', `admin/api-tokens/${made.id}`],
    ] as const)
      expect((await page(path, cookie, { method })).status, `${method} ${path}`).to.equal(401)
    const refused = await exchange(service.url, code)
    expect(refused.status).to.equal(401)
    expect(refused.headers.get('set-cookie')).to.equal(null)
    expect((await callerOf(service.url, tokenHeader(made.token)).get('/auth/verify')).status).to.equal(200)
    closed.clear()
    expect((await exchange(service.url, code)).status, 'it was not used up').to.equal(204)
  })

  it('the session that the page asks for has no scope that no token can be given', async () => {
    const cookie = await sessionOf(service.url, 'acct_1', {}, { scope: `orders:read ${OPERATOR}` })
    const { scopes } = (await (await page('session', cookie)).json()) as { scopes: unknown }
    expect(scopes).to.deep.equal([{ name: 'orders:read' }])
  })

  it('the cookie counts on the page only', async () => {
    const cookie = await sessionOf(service.url)
    for (const path of [TOKENS, '/auth/verify', '/admin/api-tokens'])
      expect((await fetch(service.url + path, { headers: { cookie } })).status, path).to.equal(401)
  })

  it('what is done there is told in the history under the name of the person', async () => {
    const cookie = await sessionOf(service.url, 'acct_1', {}, { sub: 'ada', account: 'x' })
    const { token, ...made } = (await (
      await page('tokens', cookie, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'made on the page' }),
      })
    ).json()) as { id: string; token: string; created_by: object }
    expect(token).to.match(/^tkl_/)
    expect(made.created_by).to.deep.equal({ kind: 'user', id: 'ada' })
  })

  it('neither code nor session is in any line of the log', async () => {
    logged.length = 0
    const code = codeOf(await linkFor(service.url))
    const cookie = cookieOf(await exchange(service.url, code))
    await exchange(service.url, code)
    await exchange(service.url, `${code}x`)
    await page('tokens', cookie)
    await page('tokens', `${cookie}x`)
    const all = logged.join('\n')
    expect(logged.length).to.be.greaterThan(0)
    expect(all).to.not.include(code.slice(0, 40))
    expect(all).to.not.include(cookie.slice(0, 40))
  })
})

describe('Where the page is seen over TLS', () => {
  it('its cookie is one that no other host can set', async () => {
    const at = Date.now()
    const service = await startLedger({ publicUrl: 'https://tokens.example.com', clock: () => at })
    const answer = await exchange(service.url, codeOf(await linkFor(service.url)))
    expect(answer.headers.get('set-cookie')).to.match(
      /^__Host-tokenledger=[\w.-]+; Max-Age=3600; Path=\/; HttpOnly; SameSite=Strict; Secure$/,
    )
    await service.close()
  })
})
