import { expect } from 'chai'
import { settingsOf, type TokenLedgerOptions } from '../../../src/settings/options.ts'
import { SettingsError } from '../../../src/settings/settings.ts'

const problemsOf = (options: Record<string, unknown>): readonly string[] => {
  try {
    settingsOf(options)
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
  trustProxyFrom: text,
  verifyRequestHeaders: text,
  corsOrigins: text,
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
