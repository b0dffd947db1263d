import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { encode, exp, forge, HS256, sealed } from '../support/callers/jws.ts'
import { bearer, callerOf } from '../support/callers/caller.ts'
import {
  DISCOVERY,
  KEYS,
  sending,
  signedBy,
  signingKey,
  startIssuer,
  type TestIssuer,
} from '../support/processes/issuer.ts'
import { projectRoot } from '../support/project/package.ts'
import { startLedger, type TestService } from '../support/processes/ledger.ts'

/** Where the samples say that these products are, which name their issuer in different ways. */
const PLACE = 'https://login.example'
const PRODUCTS = { Keycloak: '/realms/shop', Auth0: '/' }

describe('JWTs of an issuer that publishes its keys', () => {
  let issuer: TestIssuer
  const services: TestService[] = []
  const key = signingKey('2026-11', 'rsa')

  beforeEach(async () => {
    issuer = await startIssuer()
    issuer.publish(key)
  })
  afterEach(async () => {
    for (const service of services.splice(0)) await service.close()
    await issuer.close()
  })

  async function serviceOf(jwt: { issuer: string; jwksUrl?: string; audience?: string }) {
    const service = await startLedger({ jwt })
    services.push(service)
    return { service, ask: (token: string) => callerOf(service.url).get('/auth/verify', bearer(token)) }
  }

  for (const [product, path] of Object.entries(PRODUCTS)) {
    it(`are accepted by what ${product} publishes`, async () => {
      const text = readFileSync(`${projectRoot}test/samples/issuers/${product.toLowerCase()}.json`, 'utf8')
      const { discovery, keys } = JSON.parse(
        text.replaceAll(PLACE, issuer.url).replace('MODULUS', String(key.jwk.n)),
      ) as { discovery: { issuer: string; jwks_uri: string }; keys: { kid: string }[] }
      issuer.at[path.replace(/\/$/, '') + DISCOVERY] = sending(discovery)
      issuer.at[new URL(discovery.jwks_uri).pathname] = sending({ keys })
      const named = issuer.url + path
      expect(discovery.issuer).to.equal(named)
      const { ask } = await serviceOf({ issuer: named, audience: 'tokens' })
      const signed = (claims: object, kid = 'k3yForSignatures') =>
        ask(signedBy({ ...key, kid }, { iss: named, aud: ['tokens', 'account'], ...claims }))
      expect((await signed({})).status).to.equal(200)
      expect((await signed({ iss: issuer.url + (path === '/' ? '' : `${path}/`) })).status).to.equal(401)
      expect((await signed({ aud: 'account' })).status).to.equal(401)
      for (const { kid } of keys)
        if (kid !== 'k3yForSignatures') expect((await signed({}, kid)).status).to.equal(401)
    })
  }

  it('go on while the issuer is away', async () => {
    const { ask } = await serviceOf({ issuer: 'shop', jwksUrl: issuer.url + KEYS })
    expect((await ask(signedBy(key, { iss: 'shop' }))).status).to.equal(200)
    await issuer.close()
    expect((await ask(signedBy(key, { iss: 'shop' }))).status).to.equal(200)
  })

  it('are refused where a secret or another key has signed them', async () => {
    const { ask } = await serviceOf({ issuer: 'shop', jwksUrl: issuer.url + KEYS })
    expect((await ask(signedBy(key, { iss: 'shop' }))).status).to.equal(200)
    const other = signingKey(key.kid, 'rsa')
    const ec = signingKey(key.kid)
    expect((await ask(signedBy(other, { iss: 'shop' }))).status).to.equal(401)
    expect((await ask(signedBy(ec, { iss: 'shop' }))).status).to.equal(401)
  })

  it('are refused whatever they say of their key, and the issuer is not asked for it', async () => {
    const elsewhere = await startIssuer()
    const mine = signingKey('mine', 'rsa')
    elsewhere.publish(mine)
    const { ask } = await serviceOf({ issuer: 'shop', jwksUrl: issuer.url + KEYS })
    const claims = { sub: 'acct_1', iss: 'shop', exp: exp() }
    const { kid, privateKey } = key
    const header = { alg: 'RS256', kid }
    expect((await ask(sealed(header, claims, privateKey))).status).to.equal(200)
    const secrets = ['spki', 'pkcs1'].flatMap((type) => {
      const published = createPublicKey(privateKey)
      const pem = published.export({ type: type as 'spki', format: 'pem' }).toString()
      return [pem, pem.trim(), published.export({ type: type as 'spki', format: 'der' }).toString('latin1')]
    })
    const refused: Record<string, string> = {
      'no signature': `${encode({ alg: 'none' })}.${encode(claims)}.`,
      'no signature, of a key': `${encode({ alg: 'none', kid })}.${encode(claims)}.`,
      'a key that it brings along': sealed({ ...header, jwk: mine.jwk }, claims, mine.privateKey),
      'where its keys are': sealed(
        { ...header, jku: elsewhere.url + KEYS, x5u: elsewhere.url },
        claims,
        mine.privateKey,
      ),
      'an extension': sealed({ ...header, crit: ['exp'], exp: 1 }, claims, privateKey),
      'no extension': sealed({ ...header, crit: [] }, claims, privateKey),
      'another form of its claims': sealed({ ...header, b64: false, crit: ['b64'] }, claims, privateKey),
      'an algorithm of another type of key': sealed({ ...header, alg: 'ES256' }, claims, privateKey),
      'an algorithm that is not ours': sealed({ ...header, alg: 'RS512' }, claims, privateKey, 'sha512'),
      'an algorithm in lower case': sealed({ ...header, alg: 'rs256' }, claims, privateKey),
      'many algorithms': sealed({ ...header, alg: ['RS256'] }, claims, privateKey),
      'very deep things': sealed(
        `{"alg":"RS256","kid":"${kid}","more":${'['.repeat(5_000)}${']'.repeat(5_000)}}`,
        claims,
        mine.privateKey,
      ),
    }
    for (const [i, secret] of [...secrets, JSON.stringify(key.jwk), String(key.jwk.n)].entries())
      refused[`the public key as a secret (${i})`] = forge({ ...HS256, kid }, claims, secret)
    for (const [what, token] of Object.entries(refused)) expect((await ask(token)).status, what).to.equal(401)
    expect([issuer.asked, elsewhere.asked]).to.deep.equal([[KEYS], []])
    for (const odd of [7, null, {}, ['k'], '', 'x'.repeat(1_000), '../certs', '__proto__'])
      expect((await ask(sealed({ ...header, kid: odd }, claims, privateKey))).status).to.equal(401)
    expect(issuer.asked.length, 'for ids that are not known, and not again within 30 s').to.be.at.most(2)
    await elsewhere.close()
  })

  it('are 503 and never 401 while there are no keys, and tokens go on with readiness green', async () => {
    delete issuer.at[KEYS]
    const { service, ask } = await serviceOf({ issuer: 'shop', jwksUrl: issuer.url + KEYS })
    const answer = await ask(signedBy(key, { iss: 'shop' }))
    expect(answer.status).to.equal(503)
    expect(answer.headers.get('retry-after')).to.equal('1')
    expect(answer.body).to.include({ code: 'store_unavailable', title: 'Temporarily unavailable' })
    expect(answer.body.detail, 'what is down, and not why').to.equal(
      'The keys with which the signature is checked cannot be had now. Try again in a moment.',
    )
    expect(JSON.stringify(answer.body)).not.to.contain(issuer.url)
    const tokens = service.ledger.tokens
    const { token } = await tokens.create('acct_1', { name: 'CI' }, { actor: 'tests' })
    const use = await callerOf(service.url).get('/auth/verify', { 'X-API-Token': token })
    expect(use.status).to.equal(200)
    expect((await callerOf(service.url).get('/health/ready')).status).to.equal(200)
    const metrics = await (await fetch(`${service.url}/metrics`)).text()
    expect(metrics).to.match(/tokenledger_issuer_keys_age_seconds \+Inf/)
  })
})
