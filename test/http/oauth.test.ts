import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import * as oauth from 'oauth4webapi'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'
import { loseHistory } from '../support/stores/damage.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }
const SECRET_OF = { gateway: 'a secret of 256 bits, or so', 'odd.client': 'with : and % and + and é' }
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const formEncoded = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1)
const basic = (id: string, secret: string): Record<string, string> => ({
  Authorization: `Basic ${Buffer.from(`${formEncoded(id)}:${formEncoded(secret)}`).toString('base64')}`,
})
const gateway = basic('gateway', SECRET_OF.gateway)

describe('OAuth', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
  const oauthClientsFile = join(folder, 'clients.json')
  const publicUrl = 'http://127.0.0.1/ledger'
  let service: TestService
  let owner: Api
  let now = Date.now()
  before(async () => {
    const hashes = Object.entries(SECRET_OF).map(([id, secret]) => [id, sha256(secret)])
    writeFileSync(oauthClientsFile, JSON.stringify(Object.fromEntries(hashes)))
    service = await startLedger({
      oauthClientsFile,
      publicUrl,
      clock: () => now,
      maxTokensPerAccount: 1_000,
      resolveAccount: (id) => (id === 'closed' ? null : { id }),
    })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(async () => {
    await service.close()
    rmSync(folder, { recursive: true })
  })

  const ask = (form: Record<string, string> | string, headers: Record<string, string> = gateway) =>
    callerOf(service.url).post('/oauth/introspect', new URLSearchParams(form).toString(), {
      ...FORM,
      ...headers,
    })
  const revoke = (token: string, headers: Record<string, string> = gateway) =>
    callerOf(service.url).post('/oauth/revoke', new URLSearchParams({ token }).toString(), {
      ...FORM,
      ...headers,
    })
  const isActive = async (token: string): Promise<unknown> => {
    const { status, body } = await ask({ token })
    expect(status).to.equal(200)
    return (body as unknown as { active: boolean }).active
  }

  it('introspects a good token with what RFC 7662 names', async () => {
    const expires = new Date(now + 60_000).toISOString()
    const token = await createToken(owner, { scopes: ['a', 'b:c'], expires_at: expires })
    const { body } = await ask({ token: token.token, token_type_hint: 'access_token' })
    expect(body).to.deep.equal({
      active: true,
      scope: 'a b:c',
      sub: 'acct_1',
      client_id: token.id,
      jti: token.id,
      token_type: 'Bearer',
      iat: Math.floor(Date.parse(token.created_at) / 1000),
      exp: Math.floor(Date.parse(expires) / 1000),
    })
    now += 60_000
    expect((await ask({ token: token.token })).body).to.deep.equal({ active: false })
  })

  it('says of any other token that it is not active, and nothing else', async () => {
    const revoked = await createToken(owner)
    await owner.delete(`${TOKENS}/${revoked.id}`)
    const closed = await createToken(callerOf(service.url, bearer(jwtFor('acct_1'))))
    const others = [revoked.token, `${closed.token}x`, jwtFor('acct_1'), 'nothing', 'ä', 'x'.repeat(512)]
    for (const token of others) {
      const { status, text } = await ask({ token })
      expect([status, text]).to.deep.equal([200, '{"active":false}'])
    }
  })

  it('counts an introspection as a use by the client', async () => {
    const { id, token } = await createToken(owner)
    expect(await isActive(token)).to.equal(true)
    for (let tries = 0; ; tries++) {
      const { body } = await owner.get(`${TOKENS}/${id}/usage`)
      if (body.total.requests === 0 && tries < 200) continue
      expect(body.routes).to.deep.equal([{ method: 'CALL', route: 'gateway', requests: 1 }])
      expect(body.total.outcomes).to.deep.equal({ accepted: 1 })
      break
    }
  })

  it('revokes a token by its secret, as often as one likes, with the client in its history', async () => {
    const { id, token } = await createToken(owner)
    for (let again = 0; again < 2; again++) {
      const { status, text } = await revoke(token)
      expect([status, text]).to.deep.equal([200, ''])
    }
    expect((await callerOf(service.url, tokenHeader(token)).get('/auth/verify')).status).to.equal(401)
    const { data } = (await owner.get(`${TOKENS}/${id}/events`)).body
    expect(data).to.have.lengthOf(2)
    expect(data.at(-1)?.actor).to.deep.equal({ kind: 'client', id: 'gateway' })
    for (const unknown of ['nothing', jwtFor('acct_1')]) expect((await revoke(unknown)).status).to.equal(200)
  })

  it('revokes and introspects by either secret of a token, and changes nothing by one that has retired', async () => {
    const { id, token } = await createToken(owner)
    const rotate = async (input: object) => (await owner.post(`${TOKENS}/${id}/rotations`, input)).body.token
    const second = await rotate({ activate: 'now', grace_seconds: 60 })
    expect([await isActive(token), await isActive(second)]).to.deep.equal([true, true])
    expect((await ask({ token })).body, 'until the secret retires').to.include({
      exp: Math.floor((now + 60_000) / 1000),
    })
    expect((await ask({ token: second })).body).to.not.have.property('exp')
    now += 60_000
    expect([await isActive(token), await isActive(second)]).to.deep.equal([false, true])
    expect((await revoke(token)).status).to.equal(200)
    const third = await rotate({ activate: 'now', grace_seconds: 0 })
    expect((await revoke(token)).status).to.equal(200)
    expect((await revoke(second)).status).to.equal(200)
    expect([await isActive(second), await isActive(third)]).to.deep.equal([false, true])
    expect((await owner.get(`${TOKENS}/${id}`)).body.status).to.equal('active')
    const pending = await rotate({})
    expect((await revoke(pending)).status).to.equal(200)
    expect([await isActive(pending), await isActive(third)]).to.deep.equal([false, false])
  })

  it('takes a token whose history is damaged for revoked, since it is accepted nowhere any more', async () => {
    const own = await ownFolder()
    const one = await startLedger({ oauthClientsFile }, own)
    const its = callerOf(one.url, bearer(jwtFor('acct_1')))
    const { token, id } = await createToken(its)
    await loseHistory(own, id)
    const form = new URLSearchParams({ token }).toString()
    const answer = await callerOf(one.url).post('/oauth/revoke', form, { ...FORM, ...gateway })
    expect(answer.status).to.equal(200)
    expect((await callerOf(one.url, tokenHeader(token)).get('/auth/verify')).status).to.equal(401)
    await one.close()
    await endServices()
  })

  it('knows its clients by id and secret, form-encoded as RFC 6749 has it', async () => {
    const { token } = await createToken(owner)
    const odd = basic('odd.client', SECRET_OF['odd.client'])
    expect((await ask({ token }, odd)).status).to.equal(200)
    const colons = Buffer.from(`gateway:${SECRET_OF.gateway}`).toString('base64')
    expect((await ask({ token }, { Authorization: `basic ${colons}` })).status).to.equal(200)
    const wrong: Record<string, Record<string, string>> = {
      'no client': {},
      'another secret': basic('gateway', 'x'),
      'an unknown client': basic('nobody', SECRET_OF.gateway),
      "another client's secret": basic('gateway', SECRET_OF['odd.client']),
      'no secret': basic('gateway', ''),
      'no colon': { Authorization: `Basic ${Buffer.from('gateway').toString('base64')}` },
      'bad encoding': { Authorization: `Basic ${Buffer.from('gateway:%zz').toString('base64')}` },
      'the hash of the secret': basic('gateway', sha256(SECRET_OF.gateway)),
      'a JWT': bearer(jwtFor('acct_1')),
      'a member of every object': basic('constructor', 'x'),
      'a long header': { Authorization: `Basic ${'QUJD'.repeat(1_000)}` },
    }
    for (const [what, headers] of Object.entries(wrong))
      for (const path of ['introspect', 'revoke']) {
        const {
          status,
          body,
          headers: answered,
        } = await callerOf(service.url).post(`/oauth/${path}`, `token=${token}`, { ...FORM, ...headers })
        expect(status, `${what}: ${path}`).to.equal(401)
        expect(body).to.deep.equal({ error: 'invalid_client' })
        expect(answered.get('www-authenticate')).to.equal('Basic realm="tokenledger"')
      }
    expect(await isActive(token)).to.equal(true)
  })

  it('refuses a form that it cannot read', async () => {
    const { token } = await createToken(owner)
    const [missing, twice] = ['token is missing', 'a parameter must be given once']
    const noAddress = 'client_ip must be an IP address'
    const noForm = 'the body must be a form (application/x-www-form-urlencoded)'
    const bodies: [body: string, why: string, headers?: Record<string, string>][] = [
      ['token_type_hint=access_token', missing],
      ['token=', missing],
      [`token=${token}&token=${token}`, twice],
      [`token=${token}&client_ip=192.0.2.1&client_ip=192.0.2.2`, twice],
      [`token=${token}&client_ip=nowhere`, noAddress],
      [`token=${token}&client_ip=`, noAddress],
      [JSON.stringify({ token }), noForm, { 'Content-Type': 'application/json' }],
      [`token=${'x'.repeat(513)}`, 'token must have at most 512 characters'],
    ]
    for (const [body, why, headers = FORM] of bodies) {
      const answer = await callerOf(service.url).post('/oauth/introspect', body, { ...gateway, ...headers })
      expect(answer.status, body).to.equal(400)
      expect(answer.body).to.deep.equal({ error: 'invalid_request', error_description: why })
    }
    const huge = await ask(`token=${token}&x=${'x'.repeat(33_000)}`)
    expect(huge.status).to.equal(413)
    expect((await callerOf(service.url).get(`/oauth/introspect?token=${token}`, gateway)).status).to.equal(
      405,
    )
  })

  it('limits wrong clients by the address of the peer, and bad tokens by the address that the client names', async () => {
    const limited = await startLedger({ oauthClientsFile, rateLimitFailuresPerMinute: 3 })
    const post = (body: string, headers: Record<string, string>) =>
      callerOf(limited.url).post('/oauth/introspect', body, { ...FORM, ...headers })
    const made = await limited.ledger.tokens.create('acct_1', { name: 'x' }, { actor: 'tests' })
    const statuses = async (body: string, headers: Record<string, string>) => {
      const found: number[] = []
      for (let i = 0; i < 5; i++) found.push((await post(body, headers)).status)
      return found
    }
    expect(await statuses('token=tkl_bad', gateway), 'bad tokens alone').to.deep.equal([
      200, 200, 200, 200, 200,
    ])
    expect(await statuses('token=tkl_bad&client_ip=192.0.2.1', gateway)).to.deep.equal([
      200, 200, 200, 429, 429,
    ])
    expect(await statuses(`token=${made.token}&client_ip=192.0.2.1`, gateway)).to.deep.equal([
      200, 200, 200, 200, 200,
    ])
    expect((await post('token=tkl_bad&client_ip=192.0.2.2', gateway)).status).to.equal(200)
    expect(await statuses('token=x', basic('gateway', 'x'))).to.deep.equal([401, 401, 401, 429, 429])
    expect((await post(`token=${made.token}`, gateway)).status).to.equal(200)
    await limited.close()
  })

  describe('as an independent client speaks it', () => {
    const client: oauth.Client = { client_id: 'odd.client' }
    const authenticated = oauth.ClientSecretBasic(SECRET_OF['odd.client'])
    const insecure = { [oauth.allowInsecureRequests]: true }
    let server: oauth.AuthorizationServer
    before(async () => {
      const issuer = new URL(publicUrl)
      const discovered = await oauth.discoveryRequest(issuer, {
        algorithm: 'oauth2',
        ...insecure,
        [oauth.customFetch]: (url, { method, headers }) => fetch(here(url), { method, headers }),
      })
      server = await oauth.processDiscoveryResponse(issuer, discovered)
    })

    /** The service is not where its public URL says. */
    const here = (url: string): string => {
      const { pathname } = new URL(url)
      return service.url + (pathname.startsWith('/ledger') ? pathname.slice('/ledger'.length) : pathname)
    }
    const options = {
      ...insecure,
      [oauth.customFetch]: (url: string, init: object) => fetch(here(url), init),
    }

    it('is found by its metadata, and introspects and revokes', async () => {
      const { token, id } = await createToken(owner)
      const introspect = async () => {
        const answer = await oauth.introspectionRequest(server, client, authenticated, token, options)
        return oauth.processIntrospectionResponse(server, client, answer)
      }
      expect(await introspect()).to.include({ active: true, jti: id })
      const answer = await oauth.revocationRequest(server, client, authenticated, token, options)
      await oauth.processRevocationResponse(answer)
      expect(await introspect()).to.deep.equal({ active: false })
      const wrong = oauth.ClientSecretBasic('x')
      const refused = await oauth.introspectionRequest(server, client, wrong, token, options)
      const error = await oauth
        .processIntrospectionResponse(server, client, refused)
        .catch((thrown) => thrown)
      expect(error).to.be.instanceOf(oauth.WWWAuthenticateChallengeError)
    })

    const shapes: Record<string, (token: string) => [body: string, headers: Record<string, string>]> = {
      // SpringOpaqueTokenIntrospector: RestTemplate with a form and Basic.
      Spring: (token) => [
        `token=${token}`,
        {
          Accept: 'application/json',
          'Content-Type': 'application/x-www-form-urlencoded;charset=UTF-8',
          ...gateway,
        },
      ],
      // lua-resty-openidc sends the client in the body, too.
      APISIX: (token) => [
        `token=${token}&client_id=gateway&client_secret=${encodeURIComponent(SECRET_OF.gateway)}`,
        { ...FORM, ...gateway },
      ],
    }
    for (const [product, shapeOf] of Object.entries(shapes)) {
      it(`answers what ${product} sends`, async () => {
        const { token } = await createToken(owner)
        const [body, headers] = shapeOf(token)
        const answer = await fetch(`${service.url}/oauth/introspect`, { method: 'POST', body, headers })
        expect(answer.status).to.equal(200)
        expect(answer.headers.get('content-type')).to.match(/^application\/json/)
        expect(((await answer.json()) as Body & { active: boolean }).active).to.equal(true)
      })
    }
  })

  it('is not there without clients, nor its metadata without a public URL', async () => {
    const metadata = '/.well-known/oauth-authorization-server'
    const without = await startLedger({ publicUrl })
    const unnamed = await startLedger({ oauthClientsFile })
    for (const [url, path, method] of [
      [without.url, '/oauth/introspect', 'POST'],
      [without.url, '/oauth/revoke', 'POST'],
      [without.url, metadata, 'GET'],
      [unnamed.url, metadata, 'GET'],
    ] as const)
      expect((await fetch(url + path, { method })).status, path).to.equal(404)
    expect((await fetch(service.url + metadata)).status).to.equal(200)
    await without.close()
    await unnamed.close()
  })
})
