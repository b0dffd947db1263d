import { expect } from 'chai'
import { readOptions, type TokenLedgerOptions } from '../../../src/settings/options.ts'
import { isFile } from '../../../src/settings/parsers.ts'
import { readSettings, SettingsError } from '../../../src/settings/settings.ts'

const problemsOf = (
  options: Record<string, unknown>,
  env: Record<string, string> = {},
): readonly string[] => {
  try {
    readSettings(env, { ...readOptions(options), isNear: isFile })
    return []
  } catch (error) {
    if (error instanceof SettingsError) return error.problems
    throw error
  }
}

describe('options of the library that there are not', () => {
  it('are refused by name: one that is misspelt must not leave a door open', () => {
    expect(problemsOf({ resolveAcount: () => null, tokenPrefx: 'sentinel', toString: 1 })).to.deep.equal([
      'resolveAcount is no option',
      'tokenPrefx is no option',
      'toString is no option',
    ])
  })
})

const text = [null, 7, true, {}, ['text'], () => 'text']
const number = [null, true, false, {}, [1], () => 1]
const choice = [null, 1, 0, {}, [true]]
const code = [null, 'text', true, {}, []]

/** Values of another kind than the option has, as JavaScript without types, or a file of settings, would bring them. */
const wrong: Partial<Record<keyof TokenLedgerOptions, readonly unknown[]>> = {
  eventStoreUrl: text,
  readModelUrl: text,
  peppers: text,
  tokenPrefix: text,
  apiTokenHeader: text,
  operatorScope: text,
  publicUrl: text,
  leakAction: text,
  leakKeysUrl: text,
  leakKeysFile: text,
  oauthClientsFile: text,
  auditMode: text,
  webhookUrl: text,
  webhookSecret: text,
  portalReturnUrls: text,
  trustProxyFrom: text,
  verifyRequestHeaders: text,
  corsOrigins: text,
  eventStoreTimeoutMs: number,
  maxTokensPerAccount: number,
  usageFlushMs: number,
  rateLimitFailuresPerMinute: number,
  rateLimitWritesPerMinute: number,
  trustProxyHops: number,
  tokenMaxLifetimeDays: number.filter((value) => value !== null),
  usageRetentionDays: number.filter((value) => value !== null),
  acceptLegacyTokens: choice,
  scopeCeiling: choice,
  eventStoreShared: choice,
  resolveAccount: code,
  resolveUser: code,
  onEvent: code,
  onProblem: code,
  clock: code,
  log: [null, 'text', true, {}, { debug() {}, info() {}, warn() {} }],
}

describe('An option of the library', () => {
  for (const [name, values] of Object.entries(wrong)) {
    it(`${name} is refused at the start where it is of another kind, by its name`, () => {
      for (const value of values) {
        const problems = problemsOf({ [name]: value })
        expect(problems, String(value)).to.have.lengthOf(1)
        expect(problems[0], String(value)).to.match(new RegExp(`^${name} must be `))
        expect(problems[0], String(value)).not.to.contain('is not a function')
      }
    })
  }

  it('is named with all others that are wrong', () => {
    const problems = problemsOf({ trustProxyHops: true, peppers: 7, log: null })
    expect(problems.map((problem) => problem.split(' ')[0])).to.have.members([
      'trustProxyHops',
      'peppers',
      'log',
    ])
  })

  it('is named with all others that are wrong, whatever is wrong with each', () => {
    const options = {
      scopes: ['orders:read'],
      trustedOrigins: 'https://app.example.com',
      trustProxyHops: -1,
      auditMode: 'strct',
      clock: 7,
      jwt: { secret: 'short' },
      peppers: 'k1',
      webhookUrl: 'http://app.example.com',
      oauthClientsFile: '/none',
      resolveAcount: () => null,
      eventStoreUrl: 'sqlite:./one.db',
      readModelUrl: 'sqlite:./one.db',
    }
    const named = problemsOf(options, { LOG_LEVEL: 'loud' }).join('\n')
    for (const name of [...Object.keys(options), 'LOG_LEVEL'])
      expect(named).to.match(new RegExp(`\\b${name}\\b`))
    expect(named.split('\n')).to.have.lengthOf(12)
  })

  it('that is wrong is not taken from the environment instead, nor said to be missing', () => {
    const env = {
      NODE_ENV: 'production',
      JWT_SECRET: 'short',
      TOKEN_PEPPERS: 'short',
      WEBHOOK_SECRET: 'short',
    }
    const url = 'https://app.example.com'
    const problems = problemsOf({ jwt: null, peppers: 7, webhookSecret: 7, webhookUrl: url }, env)
    expect(problems.map((problem) => problem.replace(/ must be .*/, ''))).to.have.members([
      'peppers',
      'webhookSecret',
      'the key in the option jwt',
    ])
  })

  it('is named as it was given, also where something else is missing beside it, or is the same', () => {
    const webhookSecret = `whsec_${Buffer.alloc(24).toString('base64')}`
    const together = 'must be set together'
    const halves: [Record<string, unknown>, Record<string, string>, string][] = [
      [{ webhookUrl: 'https://a.example' }, {}, `webhookUrl and webhookSecret ${together}`],
      [{ webhookSecret }, {}, `webhookUrl and webhookSecret ${together}`],
      [{}, { WEBHOOK_SECRET: webhookSecret }, `WEBHOOK_URL and WEBHOOK_SECRET ${together}`],
    ]
    for (const [options, env, problem] of halves) expect(problemsOf(options, env)).to.deep.equal([problem])
    const url = 'sqlite:./one.db'
    expect(problemsOf({ eventStoreUrl: url }, { READ_MODEL_URL: url })).to.deep.equal([
      'eventStoreUrl and READ_MODEL_URL must not name the same file',
    ])
    expect(problemsOf({ eventStoreUrl: 'sqlite:./data/read-model.db' })).to.deep.equal([
      'eventStoreUrl and readModelUrl must not name the same file',
    ])
    expect(
      problemsOf({ jwt: { secret: 'a secret of at least 32 bytes: fine', leewaySeconds: 61 } }),
    ).to.deep.equal(['jwt.leewaySeconds must be a whole number from 0 to 60'])
    const far = problemsOf({ eventStoreUrl: 'esdb://es.example:2113?tls=false', auditMode: 'strct' })
    expect(far).to.have.lengthOf(2)
    expect(far[1]).to.match(/^peppers \(or TOKEN_PEPPERS\) must be set, since eventStoreUrl may be shared/)
    const issuer = 'https://login.example'
    const inProduction = problemsOf({ jwt: { issuer } }, { NODE_ENV: 'production' })
    expect(inProduction[0]).to.match(/^jwt\.audience must be set in production/)
    expect(inProduction[1]).to.equal('peppers (or TOKEN_PEPPERS) must be set in production')
    expect(
      problemsOf({ peppers: `k1:${Buffer.alloc(32).toString('base64')}` }, { NODE_ENV: 'production' })[0],
    ).to.match(/^jwt \(or JWT_SECRET or .*\) must be set in production$/)
  })

  it('counts as left out where it is undefined', () => {
    const names = Object.keys(wrong).map((name) => [name, undefined])
    expect(problemsOf(Object.fromEntries(names))).to.deep.equal([])
  })
})

describe('The option jwt', () => {
  const SECRET = 'sentinel: a secret of at least 32 bytes'
  const odd: Record<string, unknown> = {
    'the secret itself': SECRET,
    'its bytes': Buffer.from(SECRET),
    null: null,
    nothing: '',
    'a function': () => SECRET,
    'a list': [SECRET],
    'without a key': { issuer: 'sentinel' },
    'with another name of its key': { Secret: SECRET },
    'with two keys': { secret: SECRET, keys: { a: SECRET } },
    'with a key that is a number': { secret: 7 },
    'with a key that is null': { publicKey: null },
    'with a key that is an object': { secret: { SECRET } },
    'with a list of keys': { keys: [SECRET] },
    'with keys that are a text': { keys: SECRET },
    'with keys that are numbers': { keys: { a: 7 } },
    'with an issuer that is a list': { secret: SECRET, issuer: ['sentinel'] },
    'with an empty audience, which would check nothing': { secret: SECRET, audience: '' },
    'with no audience, said by null': { secret: SECRET, audience: null },
    'with a leeway that is a text': { secret: SECRET, leewaySeconds: 'sentinel' },
    'with a member that is misspelt': { secret: SECRET, acountClaim: 'org' },
  }
  for (const [what, jwt] of Object.entries(odd)) {
    it(`is refused without a word of it: ${what}`, () => {
      const problems = problemsOf({ jwt })
      expect(problems).to.have.lengthOf(1)
      expect(problems[0]).to.match(/^the key in the option jwt must /)
      expect(problems[0]).not.to.contain('sentinel')
    })
  }

  it('may leave members undefined', () => {
    const jwt = { secret: SECRET, issuer: undefined, audience: undefined, publicKey: undefined }
    expect(problemsOf({ jwt })).to.deep.equal([])
    expect(problemsOf({ jwt: undefined })).to.deep.equal([])
  })
})
