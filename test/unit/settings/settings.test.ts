import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { SAMPLE_KEY } from '../../support/processes/ledger.ts'
import { parseBlocks } from '../../../src/domain/address.ts'
import { type Given, jwtChecksOf, readSettings, SettingsError } from '../../../src/settings/settings.ts'

const SECRET = 'a secret that only the tests know: 32 bytes'
const KEY = Buffer.alloc(32, 7).toString('base64')
const PEPPERS = `k1:${KEY}`

type Environment = Record<string, string | undefined>

function problemsOf(env: Environment, given?: Given): readonly string[] {
  try {
    readSettings(env, given && { given })
    return []
  } catch (error) {
    if (error instanceof SettingsError) return error.problems
    throw error
  }
}

describe('settings', () => {
  it('have defaults for a start on one’s own machine', () => {
    expect(readSettings({})).to.deep.equal({
      host: '127.0.0.1',
      port: 3000,
      eventStoreUrl: 'sqlite:./data/events.db',
      readModelUrl: 'sqlite:./data/read-model.db',
      eventStoreShared: true,
      eventStoreTimeoutMs: 10_000,
      jwtKeys: null,
      jwtIssuer: undefined,
      jwtAudience: undefined,
      jwtAccountClaim: 'sub',
      jwtLeewaySeconds: 5,
      tokenPrefix: 'tkl',
      apiTokenHeader: 'X-API-Token',
      acceptLegacyTokens: false,
      peppers: null,
      tokenMaxLifetimeDays: null,
      maxTokensPerAccount: 100,
      scopes: null,
      operatorScope: 'tokenledger:operator',
      scopeCeiling: true,
      usageFlushMs: 1000,
      usageRetentionDays: null,
      auditMode: 'buffered',
      auditKeyFile: null,
      rateLimitFailuresPerMinute: 600,
      rateLimitWritesPerMinute: 120,
      trustedOrigins: [],
      trustProxyHops: 0,
      trustProxyFrom: null,
      verifyRequestHeaders: null,
      corsOrigins: null,
      webhookUrl: null,
      webhookSecrets: null,
      keepAliveMs: 72_000,
      shutdownDelayMs: 0,
      publicUrl: null,
      portalReturnUrls: null,
      oauthClients: null,
      leakAction: null,
      leakKeysUrl: 'https://api.github.com/meta/public_keys/secret_scanning',
      leakKeys: null,
      logLevel: 'info',
      logFormat: null,
      metricsPort: null,
      production: false,
    })
  })

  it('are read from the environment', () => {
    const settings = readSettings({
      HOST: '::',
      PORT: '0',
      EVENT_STORE_URL: 'esdb://one:2113?tls=false',
      READ_MODEL_URL: 'sqlite:/var/model.db',
      EVENT_STORE_SHARED: 'false',
      JWT_SECRET: SECRET,
      JWT_ISSUER: 'https://issuer.example',
      JWT_AUDIENCE: 'tokens',
      JWT_ACCOUNT_CLAIM: 'account',
      JWT_LEEWAY_SECONDS: '60',
      TOKEN_PREFIX: 'acme',
      API_TOKEN_HEADER: 'X-Acme-Key',
      ACCEPT_LEGACY_TOKENS: 'true',
      TOKEN_PEPPERS: `k2:${KEY},${PEPPERS}`,
      TOKEN_MAX_LIFETIME_DAYS: '90',
      MAX_TOKENS_PER_ACCOUNT: '5',
      SCOPES: 'orders:read',
      OPERATOR_SCOPE: 'staff',
      PUBLIC_URL: 'https://tokens.example.com/ledger/',
      PORTAL_RETURN_URLS: 'https://app.example.com/settings  http://127.0.0.1:4000',
      SCOPE_CEILING: 'off',
      USAGE_FLUSH_MS: '250',
      USAGE_RETENTION_DAYS: '30',
      AUDIT_MODE: 'strict',
      AUDIT_KEY_FILE: '/run/secrets/audit-key.pem',
      RATE_LIMIT_FAILURES_PER_MINUTE: '0',
      RATE_LIMIT_WRITES_PER_MINUTE: '10',
      TRUST_PROXY_HOPS: '1',
      TRUST_PROXY_FROM: '10.0.0.0/8, ::1',
      VERIFY_REQUEST_HEADERS: 'x-original',
      CORS_ORIGINS: 'https://app.example.com  http://localhost:5173',
      WEBHOOK_URL: 'https://app.example.com/hooks?of=tokens',
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(24, 1).toString('base64')}  whsec_${Buffer.alloc(64, 2).toString('base64')}`,
      EVENT_STORE_TIMEOUT_MS: '60000',
      KEEP_ALIVE_MS: '5000',
      LOG_LEVEL: 'warn',
      LOG_FORMAT: 'pretty',
      METRICS_PORT: '9100',
      NODE_ENV: 'production',
    })
    const key = Buffer.alloc(32, 7)
    expect(settings).to.deep.equal({
      host: '::',
      port: 0,
      eventStoreUrl: 'esdb://one:2113?tls=false',
      readModelUrl: 'sqlite:/var/model.db',
      eventStoreShared: false,
      eventStoreTimeoutMs: 60_000,
      jwtKeys: { secret: SECRET },
      jwtIssuer: 'https://issuer.example',
      jwtAudience: 'tokens',
      jwtAccountClaim: 'account',
      jwtLeewaySeconds: 60,
      tokenPrefix: 'acme',
      apiTokenHeader: 'X-Acme-Key',
      acceptLegacyTokens: true,
      peppers: [
        { id: 'k2', key },
        { id: 'k1', key },
      ],
      tokenMaxLifetimeDays: 90,
      maxTokensPerAccount: 5,
      scopes: [{ name: 'orders:read' }],
      operatorScope: 'staff',
      scopeCeiling: false,
      usageFlushMs: 250,
      usageRetentionDays: 30,
      auditMode: 'strict',
      auditKeyFile: '/run/secrets/audit-key.pem',
      rateLimitFailuresPerMinute: 0,
      rateLimitWritesPerMinute: 10,
      trustedOrigins: [],
      trustProxyHops: 1,
      trustProxyFrom: parseBlocks('10.0.0.0/8 ::1'),
      verifyRequestHeaders: 'x-original',
      corsOrigins: ['https://app.example.com', 'http://localhost:5173'],
      webhookUrl: 'https://app.example.com/hooks?of=tokens',
      webhookSecrets: [Buffer.alloc(24, 1), Buffer.alloc(64, 2)],
      keepAliveMs: 5000,
      shutdownDelayMs: 3000,
      publicUrl: 'https://tokens.example.com/ledger',
      portalReturnUrls: ['https://app.example.com/settings', 'http://127.0.0.1:4000'],
      oauthClients: null,
      leakAction: null,
      leakKeysUrl: 'https://api.github.com/meta/public_keys/secret_scanning',
      leakKeys: null,
      logLevel: 'warn',
      logFormat: 'pretty',
      metricsPort: 9100,
      production: true,
    })
    expect(jwtChecksOf(settings)).to.deep.equal({
      issuer: 'https://issuer.example',
      audience: 'tokens',
      accountClaim: 'account',
      leewaySeconds: 60,
    })
  })

  it('cannot be changed once they are read', () => {
    expect(readSettings({})).to.be.frozen
  })

  it('take an empty text for one that is not set', () => {
    const names = [
      'HOST',
      'PORT',
      'JWT_SECRET',
      'JWT_KEYS_FILE',
      'TOKEN_PEPPERS',
      'TOKEN_PREFIX',
      'LOG_LEVEL',
    ]
    expect(readSettings(Object.fromEntries(names.map((name) => [name, ''])))).to.deep.equal(readSettings({}))
  })

  it('take an option of the library in place of the environment, which is not even read', () => {
    const env = { PORT: 'x', TOKEN_PEPPERS: 'x', JWT_SECRET: 'x', TOKEN_MAX_LIFETIME_DAYS: '30' }
    const given = { port: 1, peppers: [], jwtKeys: { secret: SECRET }, tokenMaxLifetimeDays: null }
    expect(readSettings(env, { given })).to.include(given)
  })

  it('hold an option of the library to the same rules, by the option’s own name', () => {
    const given = {
      auditMode: 'Strict',
      tokenPrefix: 'BAD_',
      apiTokenHeader: 'Authorization',
      eventStoreUrl: 'postgres://secret@host/db',
      maxTokensPerAccount: -1,
      usageFlushMs: 0.5,
      rateLimitWritesPerMinute: Number.NaN,
    }
    expect(() => readSettings({}, { given }))
      .to.throw(SettingsError)
      .with.property('problems')
      .that.satisfies((problems: string[]) => {
        expect(problems.map((problem) => problem.split(' ')[0])).to.have.members(Object.keys(given))
        expect(problems.join()).not.to.match(/secret|BAD_|Strict/)
        return true
      })
  })

  it('are refused with every problem at once, by name and never by value', () => {
    const value = 'sentinel value/'
    const names = [
      'HOST',
      'PORT',
      'EVENT_STORE_URL',
      'READ_MODEL_URL',
      'JWT_SECRET',
      'TOKEN_PREFIX',
      'API_TOKEN_HEADER',
      'ACCEPT_LEGACY_TOKENS',
      'TOKEN_PEPPERS',
      'TOKEN_MAX_LIFETIME_DAYS',
      'MAX_TOKENS_PER_ACCOUNT',
      'USAGE_FLUSH_MS',
      'AUDIT_MODE',
      'RATE_LIMIT_FAILURES_PER_MINUTE',
      'RATE_LIMIT_WRITES_PER_MINUTE',
      'TRUST_PROXY_HOPS',
      'TRUST_PROXY_FROM',
      'VERIFY_REQUEST_HEADERS',
      'CORS_ORIGINS',
      'WEBHOOK_URL',
      'WEBHOOK_SECRET',
      'KEEP_ALIVE_MS',
      'SHUTDOWN_DELAY_MS',
      'LOG_LEVEL',
    ]
    const env = Object.fromEntries(names.map((name) => [name, value]))
    const problems = problemsOf(env)
    expect(problems.map((problem) => problem.split(' ')[0])).to.have.members(names)
    const { message } = new SettingsError(problems)
    for (const name of names) expect(message).to.include(name)
    expect(message).not.to.include('sentinel')
  })

  it('must name two stores, not one file twice', () => {
    const url = 'sqlite:./both.db'
    expect(problemsOf({ EVENT_STORE_URL: url, READ_MODEL_URL: url })).to.deep.equal([
      'EVENT_STORE_URL and READ_MODEL_URL must not name the same file',
    ])
    expect(problemsOf({ READ_MODEL_URL: 'sqlite:./data/events.db' })).to.have.lengthOf(1)
    const inMemory = 'sqlite::memory:'
    expect(problemsOf({ EVENT_STORE_URL: inMemory, READ_MODEL_URL: inMemory })).to.deep.equal([])
  })

  it('takes no port twice, but lets the system choose two', () => {
    const problem = ['METRICS_PORT must be another port than PORT, or not be set']
    expect(problemsOf({ PORT: '9100', METRICS_PORT: '9100' })).to.deep.equal(problem)
    expect(problemsOf({ METRICS_PORT: '3000' })).to.deep.equal(problem)
    expect(readSettings({ PORT: '0', METRICS_PORT: '0' }).metricsPort).to.equal(0)
  })

  it('of webhooks are an address that nobody on the way can read, and secrets of the specification, together', () => {
    const secret = (bytes: number) => `whsec_${Buffer.alloc(bytes, 1).toString('base64')}`
    const of = (url: string, text = secret(24)) => problemsOf({ WEBHOOK_URL: url, WEBHOOK_SECRET: text })
    for (const url of [
      'https://a.example/hook',
      'http://127.0.0.1:80/?x=1',
      'http://[::1]/',
      'http://localhost/',
    ])
      expect(of(url), url).to.deep.equal([])
    for (const url of [
      'http://a.example/',
      'ftp://a.example/',
      'a.example',
      'https://u:p@a.example/',
      'https://a/#x',
    ])
      expect(of(url)[0], url).to.match(/^WEBHOOK_URL must be/)
    for (const bad of [
      secret(23),
      secret(65),
      'whsec_',
      secret(24).slice(6),
      `${secret(24)},${secret(24)}`,
      'whsec_!',
    ])
      expect(of('https://a.example/', bad)[0], bad).to.match(/^WEBHOOK_SECRET must be/)
    expect(of('https://a.example/', ` ${secret(64)} ${secret(24)} `)).to.deep.equal([])
    const together = ['WEBHOOK_URL and WEBHOOK_SECRET must be set together']
    expect(problemsOf({ WEBHOOK_URL: 'https://a.example/' })).to.deep.equal(together)
    expect(problemsOf({ WEBHOOK_SECRET: secret(24) })).to.deep.equal(together)
  })

  it('that cannot be read are not also said to be missing, or to be like another', () => {
    const [url, secret] = ['https://a.example/', `whsec_${Buffer.alloc(24, 1).toString('base64')}`]
    const namesIn = (env: Record<string, string>) => problemsOf(env).map((problem) => problem.split(' ')[0])
    expect(namesIn({ WEBHOOK_URL: 'no url', WEBHOOK_SECRET: secret })).to.deep.equal(['WEBHOOK_URL'])
    expect(namesIn({ WEBHOOK_URL: url, WEBHOOK_SECRET: 'short' })).to.deep.equal(['WEBHOOK_SECRET'])
    expect(() => readSettings({}, { given: { webhookUrl: 'no url', webhookSecrets: [Buffer.alloc(24)] } }))
      .to.throw(SettingsError)
      .with.property('problems')
      .that.has.lengthOf(1)
    const events = 'sqlite:./data/events.db'
    expect(namesIn({ EVENT_STORE_URL: 'no url', READ_MODEL_URL: events })).to.deep.equal(['EVENT_STORE_URL'])
    expect(namesIn({ TOKEN_PEPPERS: 'k1', JWT_SECRET: 'short', NODE_ENV: 'production' })).to.deep.equal([
      'JWT_SECRET',
      'TOKEN_PEPPERS',
    ])
  })

  it('take a retention for events in either store', () => {
    expect(problemsOf({ USAGE_RETENTION_DAYS: '30' })).to.deep.equal([])
    expect(problemsOf({ USAGE_RETENTION_DAYS: '30', EVENT_STORE_URL: 'esdb://one?tls=false' })).to.deep.equal(
      [],
    )
    expect(problemsOf({ USAGE_RETENTION_DAYS: '0' })).to.have.length(1)
  })

  const ranges: [name: string, good: string[], bad: string[]][] = [
    ['PORT', ['0', '65535'], ['65536', '-1', '80.5', '0x50', '1e3', ' 80', '']],
    ['ACCEPT_LEGACY_TOKENS', ['true', 'false'], ['True', '1', 'yes', ' true']],
    ['JWT_LEEWAY_SECONDS', ['0', '60'], ['61', '-1', '1.5', 'none']],
    ['TOKEN_MAX_LIFETIME_DAYS', ['1', '36500'], ['0', '36501', '-1', 'none']],
    ['MAX_TOKENS_PER_ACCOUNT', ['1', '1000000'], ['0', '1000001']],
    ['USAGE_FLUSH_MS', ['10', '3600000'], ['9', '3600001', '1s']],
    ['AUDIT_MODE', ['buffered', 'strict'], ['Strict', 'off']],
    ['RATE_LIMIT_FAILURES_PER_MINUTE', ['0', '1000000'], ['-1', '1000001']],
    ['RATE_LIMIT_WRITES_PER_MINUTE', ['0', '1000000'], ['-1', '1000001']],
    ['TRUST_PROXY_HOPS', ['0', '10'], ['11', 'true']],
    ['TRUST_PROXY_FROM', ['::1', '10.0.0.0/8, 192.0.2.1'], ['loopback', '10.0.0.1/8', '10.0.0.0/33', ' , ']],
    [
      'VERIFY_REQUEST_HEADERS',
      ['x-original', 'x-forwarded'],
      ['X-Original', 'nginx', 'x-original,x-forwarded', 'x-forwarded-uri', 'true'],
    ],
    [
      'CORS_ORIGINS',
      [
        'https://app.example.com',
        'http://localhost:5173 https://a.example',
        'http://[::1]:8080',
        'https://xn--bcher-kva.example',
      ],
      [
        '*',
        'null',
        ' ',
        'app.example.com',
        'https://*.example.com',
        'https://app.example.com/',
        'https://app.example.com/path',
        'https://app.example.com?x',
        'https://app.example.com#x',
        'https://app.example.com:443',
        'http://app.example.com:80',
        'https://APP.example.com',
        'HTTPS://app.example.com',
        'https://b\u00fccher.example',
        'https://user@app.example.com',
        'https://app.example.com,https://a.example',
        'https://a.example https://b.example/',
        'https://',
        'https:app.example.com',
        'ftp://app.example.com',
        'file:///x',
        'https://app.example.com:99999',
      ],
    ],
    ['KEEP_ALIVE_MS', ['1', '72000', '3600000'], ['0', '-1', '1.5', '3600001', '72s', 'Infinity']],
    ['SHUTDOWN_DELAY_MS', ['0', '600000'], ['-1', '1.5', '600001', '3s']],
    ['LOG_FORMAT', ['json', 'pretty'], ['JSON', 'text']],
    [
      'PORTAL_RETURN_URLS',
      ['https://app.example.com', 'https://app.example.com/a/b/'],
      [
        ' ',
        'http://app.example.com',
        'https://app.example.com/?x',
        'https://app.example.com/#x',
        'https://app.example.com/a/../b',
        'https://app.example.com/a/.b/../../c',
        'https://app.example.com/a/.b/.',
        'https://user@app.example.com/',
        '/settings',
      ],
    ],
    [
      'PUBLIC_URL',
      ['https://tokens.example.com', 'https://tokens.example.com/.a/b/', 'http://127.0.0.1:3000'],
      [
        'http://tokens.example.com',
        'https://tokens.example.com/?x',
        'https://tokens.example.com/#x',
        'https://tokens.example.com/.a/../b',
        'https://tokens.example.com/a/%2E%2e',
        '/tokens',
      ],
    ],
    [
      'LEAK_KEYS_URL',
      ['https://keys.example.com/of?b=1', 'http://127.0.0.1:3000/keys/'],
      ['http://keys.example.com/', 'https://keys.example.com/#x', 'https://a:b@keys.example.com/', 'keys'],
    ],
    ['METRICS_PORT', ['0', '65535'], ['-1', '65536', 'none']],
    ['LOG_LEVEL', ['trace', 'silent'], ['INFO', 'verbose']],
    ['HOST', ['localhost', '0.0.0.0', '::1'], ['http://x', 'a b']],
    [
      'EVENT_STORE_URL',
      [
        'sqlite:x',
        'esdb://a:b@c:2113?tls=false',
        'esdb+discover://a:b@c',
        'kurrentdb://c?tls=false',
        'kurrentdb+discover://a:b@c',
      ],
      [
        'sqlite:',
        'postgres://x',
        'x',
        'esdb:',
        'esdb://',
        'esdb://c?tls=fals%',
        'esdb://c?key=v',
        'mongodb://c',
      ],
    ],
    [
      'READ_MODEL_URL',
      ['sqlite:x', 'mongodb://a:b@c,d/e?replicaSet=rs0', 'mongodb+srv://c'],
      ['sqlite:', 'file:x', 'mongodb:', 'mongodb://', 'esdb://c'],
    ],
    ['TOKEN_PREFIX', ['tk', 'a1', 'a'.repeat(16)], ['t', '1a', 'TKL', 'tk_l', 'tkl_', 'a'.repeat(17)]],
    [
      'API_TOKEN_HEADER',
      ['X-API-Token', 'x-key', 'Api_Key', 'a'.repeat(64)],
      [
        'X API',
        'X-Key:',
        'X-Kéy',
        'X-Key\n',
        'a'.repeat(65),
        'Authorization',
        'AUTHORIZATION',
        'Cookie',
        'Host',
        'Connection',
        'Content-Type',
        'content-length',
        'Transfer-Encoding',
        'If-Match',
        'Idempotency-Key',
      ],
    ],
    [
      'TOKEN_PEPPERS',
      [PEPPERS],
      [KEY, `k1:${Buffer.alloc(31).toString('base64')}`, `${PEPPERS},${PEPPERS}`, `sha256:${KEY}`],
    ],
  ]
  for (const [name, good, bad] of ranges) {
    it(`know what ${name} may be`, () => {
      for (const value of good) expect(problemsOf({ [name]: value }), value).to.deep.equal([])
      for (const value of bad.filter((text) => text !== '')) {
        const [problem = '', ...more] = problemsOf({ [name]: value })
        expect(problem, value).to.match(new RegExp(`^${name} must `))
        expect(more).to.deep.equal([])
      }
    })
  }

  describe('in production', () => {
    const NODE_ENV = 'production'

    it('must name a JWT key and peppers', () => {
      expect(problemsOf({ NODE_ENV })).to.deep.equal([
        'JWT_SECRET or JWT_PUBLIC_KEY_FILE or JWT_KEYS_FILE or JWT_JWKS_URL or JWT_ISSUER must be set in production',
        'TOKEN_PEPPERS must be set in production',
      ])
      expect(problemsOf({ NODE_ENV, JWT_SECRET: SECRET, TOKEN_PEPPERS: PEPPERS })).to.deep.equal([])
    })

    it('may have both from the library', () => {
      const peppers = [{ id: 'k1', key: Buffer.alloc(32) }]
      expect(problemsOf({ NODE_ENV }, { jwtKeys: { secret: SECRET }, peppers })).to.deep.equal([])
    })

    it('name one problem only of a key that is set and not usable', () => {
      expect(problemsOf({ NODE_ENV, JWT_SECRET: 'short', TOKEN_PEPPERS: 'short' })).to.deep.equal([
        'JWT_SECRET must be at least 32 bytes',
        'TOKEN_PEPPERS must be <id>:<base64>, separated by commas',
      ])
    })

    it('is what NODE_ENV says, unless the library says it', () => {
      expect(readSettings({ NODE_ENV: 'development' }).production).to.equal(false)
      expect(readSettings({ NODE_ENV }, { given: { production: false } }).production).to.equal(false)
      expect(problemsOf({}, { production: true })).to.have.lengthOf(2)
    })
  })

  describe('of JWT keys', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
    after(() => rmSync(folder, { recursive: true, force: true }))

    let files = 0
    const fileOf = (text: string): string => {
      const path = join(folder, `sentinel-${++files}`)
      writeFileSync(path, text)
      return path
    }
    const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString()
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const rsa = pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
    const p256 = pem(ec.publicKey)
    const privateKey = ec.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()

    it('take a secret of 32 bytes or more, counted as UTF-8', () => {
      expect(readSettings({ JWT_SECRET: 'é'.repeat(16) }).jwtKeys).to.deep.equal({ secret: 'é'.repeat(16) })
      expect(problemsOf({ JWT_SECRET: 'x'.repeat(31) })).to.deep.equal([
        'JWT_SECRET must be at least 32 bytes',
      ])
    })

    it('take a public key of RSA or P-256 from a file', () => {
      for (const publicKey of [rsa, p256]) {
        expect(readSettings({ JWT_PUBLIC_KEY_FILE: fileOf(publicKey) }).jwtKeys).to.deep.equal({ publicKey })
      }
    })

    it('take several keys of every kind by their ids from a file', () => {
      const keys = { a: rsa, b: p256, c: SECRET }
      expect(readSettings({ JWT_KEYS_FILE: fileOf(JSON.stringify(keys)) }).jwtKeys).to.deep.equal({ keys })
    })

    it('take an issuer by itself, or with the place of its keys', () => {
      const issuer = 'https://login.example/realms/main'
      const jwksUrl = 'http://127.0.0.1:8080/keys'
      expect(readSettings({ JWT_ISSUER: issuer }).jwtKeys).to.deep.equal({ issuer })
      const both = { JWT_ISSUER: 'any text', JWT_JWKS_URL: jwksUrl }
      expect(readSettings(both).jwtKeys).to.deep.equal({ issuer: 'any text', jwksUrl })
      expect(readSettings({ JWT_ISSUER: issuer, JWT_SECRET: SECRET }).jwtKeys).to.deep.equal({
        secret: SECRET,
      })
    })

    it('refuse an issuer that is no https URL, and a place of keys that is none, or has no issuer', () => {
      const bad = [
        'sentinel',
        'http://login.example',
        'https://user:sentinel@login.example',
        'ftp://127.0.0.1',
      ]
      for (const url of bad) {
        expect(problemsOf({ JWT_ISSUER: url })).to.deep.equal([
          'JWT_ISSUER must be an https URL, or http on this machine, since no other setting names a key: keys are looked up there',
        ])
        expect(problemsOf({ JWT_ISSUER: 'x', JWT_JWKS_URL: url })).to.deep.equal([
          'JWT_JWKS_URL must be an https URL, or http on this machine',
        ])
      }
      const keys = 'https://login.example/keys'
      expect(problemsOf({ JWT_JWKS_URL: keys })).to.deep.equal(['JWT_ISSUER must be set beside JWT_JWKS_URL'])
      expect(problemsOf({ JWT_JWKS_URL: keys, JWT_ISSUER: 'x', JWT_SECRET: SECRET })).to.deep.equal([
        'JWT_SECRET and JWT_JWKS_URL exclude each other',
      ])
    })

    it('say what keeps a URL of https from being one that callers see', () => {
      const url = 'https://tokens.example.com/'
      for (const text of [`${url}?x`, `${url}#x`, `${url}a/../b`, `https://a:b@tokens.example.com`])
        expect(problemsOf({ PUBLIC_URL: text }), text).to.deep.equal([
          'PUBLIC_URL must be an https URL, or http on this machine, without user, password, ? and #, and without . and .. in its path',
        ])
    })

    it('take no file of keys in which a member stands twice', () => {
      const { key_identifier: id, key } = SAMPLE_KEY
      const listed = JSON.stringify([{ key_identifier: id, key }])
      const problems = (text: string) => problemsOf({ LEAK_KEYS_FILE: fileOf(text) })
      expect(problems(`{"public_keys":${listed}}`)).to.deep.equal([])
      expect(problems(`{"public_keys":[],"public_keys":${listed}}`)).to.deep.equal([
        'LEAK_KEYS_FILE must name a file with a JSON object of public_keys, as GitHub publishes it, with each member once',
      ])
    })

    it('keep the URL of the keys of a reporter as it is', () => {
      for (const url of ['https://keys.example.com/of?b=1', 'https://keys.example.com/of/'])
        expect(readSettings({ LEAK_KEYS_URL: url }).leakKeysUrl).to.equal(url)
    })

    it('name OAuth clients by a file, without a word of it where it is wrong', () => {
      const good = { 'gate.way_1-a': 'a'.repeat(64) }
      expect([
        ...(readSettings({ OAUTH_CLIENTS_FILE: fileOf(JSON.stringify(good)) }).oauthClients ?? []),
      ]).to.deep.equal(Object.entries(good))
      const wrong = [
        'sentinel',
        '["sentinel"]',
        '{"sentinel":7}',
        '{"sentinel":"secret"}',
        '{"senti nel":"x"}',
        `{"sentinel":"${'a'.repeat(64)}","sentine\\u006c":"${'b'.repeat(64)}"}`,
        '',
      ]
      for (const text of wrong) {
        const problems = problemsOf({ OAUTH_CLIENTS_FILE: fileOf(text) })
        expect(problems, text).to.have.lengthOf(1)
        expect(problems[0]).to.match(/^OAUTH_CLIENTS_FILE must /)
        expect(problems[0]).not.to.match(/sentinel|senti nel/)
      }
      expect(problemsOf({ OAUTH_CLIENTS_FILE: join(folder, 'sentinel') })).to.deep.equal([
        'OAUTH_CLIENTS_FILE names a file that cannot be read (ENOENT)',
      ])
    })

    it('make nobody an operator beside an issuer, unless the scope is said', () => {
      const env = { JWT_ISSUER: 'https://login.example' }
      expect(readSettings(env).operatorScope).to.equal(null)
      expect(readSettings({ ...env, OPERATOR_SCOPE: 'staff' }).operatorScope).to.equal('staff')
      expect(problemsOf({ OPERATOR_SCOPE: 'Staff or so' })).to.deep.equal([
        'OPERATOR_SCOPE must be a scope like tokenledger:operator',
      ])
    })

    it('need an audience beside an issuer in production', () => {
      const env = { NODE_ENV: 'production', JWT_ISSUER: 'https://login.example', TOKEN_PEPPERS: PEPPERS }
      expect(problemsOf(env)).to.have.lengthOf(1)
      expect(problemsOf(env)[0]).to.match(/^JWT_AUDIENCE /)
      expect(problemsOf({ ...env, JWT_AUDIENCE: 'tokens' })).to.deep.equal([])
    })

    const refusedKeys: [what: string, text: () => string, problem: RegExp][] = [
      ['a private key', () => privateKey, /public key, not a private one/],
      ['text that is not PEM', () => 'sentinel', /public key in PEM/],
      ['an empty file', () => '', /public key in PEM/],
      [
        'RSA of 1024 bits',
        () => pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
        /at least 2048 bits/,
      ],
      ['P-384', () => pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey), /P-256/],
      ['Ed25519', () => pem(generateKeyPairSync('ed25519').publicKey), /P-256/],
    ]
    for (const [what, text, expected] of refusedKeys) {
      it(`refuse ${what} for a public key, without a word of the file`, () => {
        const [problem = '', ...more] = problemsOf({ JWT_PUBLIC_KEY_FILE: fileOf(text()) })
        expect(problem)
          .to.match(/^JWT_PUBLIC_KEY_FILE /)
          .and.to.match(expected)
        expect(problem).not.to.include('sentinel')
        expect(more).to.deep.equal([])
      })
    }

    const refusedSets: [what: string, text: string, problem: RegExp][] = [
      ['text that is not JSON', 'sentinel', /JSON object of kid to key/],
      ['null', 'null', /JSON object of kid to key/],
      ['a list', `["${SECRET}"]`, /JSON object of kid to key/],
      ['a text', `"${SECRET}"`, /JSON object of kid to key/],
      ['a key that is not a text', '{"a":{"sentinel":1}}', /JSON object of kid to key/],
      ['no key', '{}', /holds no key/],
      ['a short secret', '{"a":"sentinel"}', /at least 32 bytes/],
      ['a private key', JSON.stringify({ a: rsa, b: privateKey }), /not a private one/],
    ]
    for (const [what, text, expected] of refusedSets) {
      it(`refuse ${what} for several keys, without a word of the file`, () => {
        const [problem = '', ...more] = problemsOf({ JWT_KEYS_FILE: fileOf(text) })
        expect(problem)
          .to.match(/^JWT_KEYS_FILE /)
          .and.to.match(expected)
        expect(problem).not.to.include('sentinel')
        expect(more).to.deep.equal([])
      })
    }

    it('take no public key for a secret, since everybody who knows it could make JWTs then', () => {
      const [, ...lines] = rsa.trim().split('\n')
      const body = lines.slice(0, -1)
      for (const text of [rsa, body.join('\n'), body.join(''), privateKey]) {
        const expected = 'must be a secret, not a key in PEM'
        expect(problemsOf({ JWT_SECRET: text })).to.deep.equal([`JWT_SECRET ${expected}`])
        if (text.includes('-----BEGIN')) continue
        expect(problemsOf({ JWT_KEYS_FILE: fileOf(JSON.stringify({ a: text })) })).to.deep.equal([
          `JWT_KEYS_FILE ${expected}`,
        ])
      }
    })

    it('name the reason why a file cannot be read, not where it should be', () => {
      for (const name of ['JWT_PUBLIC_KEY_FILE', 'JWT_KEYS_FILE']) {
        expect(problemsOf({ [name]: join(folder, 'missing') })).to.deep.equal([
          `${name} names a file that cannot be read (ENOENT)`,
        ])
        expect(problemsOf({ [name]: folder })).to.deep.equal([
          `${name} names a file that cannot be read (EISDIR)`,
        ])
      }
    })

    it('exclude each other', () => {
      const env = { JWT_SECRET: SECRET, JWT_PUBLIC_KEY_FILE: fileOf(rsa), JWT_KEYS_FILE: fileOf('{}') }
      expect(problemsOf(env)).to.deep.equal([
        'JWT_SECRET and JWT_PUBLIC_KEY_FILE and JWT_KEYS_FILE exclude each other',
      ])
    })
  })
})
