import { expect } from 'chai'
import { HS256, exp, forge } from '../support/callers/jws.ts'
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
import { startLedger, type TestService } from '../support/processes/ledger.ts'

/** Discovery documents with the members that these products send, for an issuer at `url`. */
const documents: Record<string, (url: string) => [path: string, issuer: string, document: object]> = {
  Keycloak: (url) => {
    const issuer = `${url}/realms/shop`
    const at = (name: string) => `${issuer}/protocol/openid-connect/${name}`
    return [
      `/realms/shop${DISCOVERY}`,
      issuer,
      {
        issuer,
        authorization_endpoint: at('auth'),
        token_endpoint: at('token'),
        introspection_endpoint: at('token/introspect'),
        userinfo_endpoint: at('userinfo'),
        end_session_endpoint: at('logout'),
        frontchannel_logout_session_supported: true,
        jwks_uri: `${url}${KEYS}`,
        check_session_iframe: at('login-status-iframe.html'),
        grant_types_supported: ['authorization_code', 'implicit', 'refresh_token', 'client_credentials'],
        response_types_supported: ['code', 'none', 'id_token', 'token', 'code id_token token'],
        subject_types_supported: ['public', 'pairwise'],
        id_token_signing_alg_values_supported: [
          'PS384',
          'RS384',
          'EdDSA',
          'ES384',
          'HS256',
          'ES256',
          'RS256',
        ],
        mtls_endpoint_aliases: { token_endpoint: at('token'), revocation_endpoint: at('revoke') },
        tls_client_certificate_bound_access_tokens: true,
      },
    ]
  },
  Auth0: (url) => {
    const issuer = `${url}/`
    return [
      DISCOVERY,
      issuer,
      {
        issuer,
        authorization_endpoint: `${issuer}authorize`,
        token_endpoint: `${issuer}oauth/token`,
        device_authorization_endpoint: `${issuer}oauth/device/code`,
        userinfo_endpoint: `${issuer}userinfo`,
        mfa_challenge_endpoint: `${issuer}mfa/challenge`,
        jwks_uri: `${url}${KEYS}`,
        registration_endpoint: `${issuer}oidc/register`,
        revocation_endpoint: `${issuer}oauth/revoke`,
        scopes_supported: ['openid', 'profile', 'offline_access', 'name', 'email'],
        code_challenge_methods_supported: ['S256', 'plain'],
        id_token_signing_alg_values_supported: ['HS256', 'RS256', 'PS256'],
        request_uri_parameter_supported: false,
        dpop_signing_alg_values_supported: ['ES256'],
      },
    ]
  },
}

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

  for (const [product, documentOf] of Object.entries(documents)) {
    it(`are accepted by the discovery document of ${product}`, async () => {
      const [path, named, document] = documentOf(issuer.url)
      issuer.at[path] = sending(document)
      const { ask } = await serviceOf({ issuer: named, audience: 'tokens' })
      const good = { iss: named, aud: ['tokens', 'account'] }
      expect((await ask(signedBy(key, good))).status).to.equal(200)
      expect((await ask(signedBy(key, { ...good, iss: issuer.url.slice(0, -1) }))).status).to.equal(401)
      expect((await ask(signedBy(key, { ...good, aud: 'account' }))).status).to.equal(401)
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
    const claims = { sub: 'acct_1', iss: 'shop', exp: exp() }
    const forged = forge({ ...HS256, kid: key.kid }, claims, JSON.stringify(key.jwk))
    expect((await ask(forged)).status).to.equal(401)
  })

  it('are 503 and never 401 while there are no keys, and tokens go on with readiness green', async () => {
    delete issuer.at[KEYS]
    const { service, ask } = await serviceOf({ issuer: 'shop', jwksUrl: issuer.url + KEYS })
    const answer = await ask(signedBy(key, { iss: 'shop' }))
    expect(answer.status).to.equal(503)
    expect(answer.headers.get('retry-after')).to.equal('1')
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
