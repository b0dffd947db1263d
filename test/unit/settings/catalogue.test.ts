import { expect } from 'chai'
import { readOptions, type TokenLedgerOptions } from '../../../src/settings/options.ts'
import { readSettings, SettingsError } from '../../../src/settings/settings.ts'

const settingsOf = (options: TokenLedgerOptions) => readSettings({}, readOptions(options))

const problemsOf = (read: () => unknown): readonly string[] => {
  try {
    read()
    return []
  } catch (error) {
    if (error instanceof SettingsError) return error.problems
    throw error
  }
}

describe('SCOPES', () => {
  it('are names with spaces between them', () => {
    expect(readSettings({ SCOPES: ' orders:read  a\nb ' }).scopes).to.deep.equal([
      { name: 'orders:read' },
      { name: 'a' },
      { name: 'b' },
    ])
    expect(readSettings({ SCOPES: '' }).scopes).to.equal(null)
  })

  it('are refused where one is no scope, or comes twice', () => {
    for (const SCOPES of ['A', 'a,b', ' ', 'a b a', '"a"']) {
      expect(problemsOf(() => readSettings({ SCOPES }))[0], SCOPES).to.match(/^SCOPES must /)
    }
  })
})

describe('the option scopes', () => {
  it('may have descriptions', () => {
    const scopes = [{ name: 'a', description: 'All of it.' }, { name: 'b' }]
    expect(settingsOf({ scopes }).scopes).to.deep.equal(scopes)
    expect(settingsOf({ scopes: [] }).scopes, 'no scope at all').to.deep.equal([])
  })

  it('is refused where it is of another shape', () => {
    const odd: unknown[] = [
      null,
      'a b',
      ['a'],
      {},
      [null],
      [{}],
      [{ name: 'A' }],
      [{ name: 'a', description: 1 }],
      [{ name: 'a', title: 'A' }],
      [{ name: 'a' }, { name: 'a' }],
    ]
    for (const scopes of odd) {
      const problems = problemsOf(() => settingsOf({ scopes } as TokenLedgerOptions))
      expect(problems[0], JSON.stringify(scopes)).to.match(/^scopes must /)
    }
  })

  it('is said to be a list of objects where it is a list of names', () => {
    for (const scopes of [['orders:read'], 'orders:read', [{ name: 'a' }, 'b']]) {
      const problems = problemsOf(() => settingsOf({ scopes } as unknown as TokenLedgerOptions))
      expect(problems[0]).to.match(/^scopes must be a list of \{ name, description \}/)
    }
  })
})

describe('SCOPE_CEILING', () => {
  it('is on unless it is taken away', () => {
    expect(readSettings({}).scopeCeiling).to.equal(true)
    expect(readSettings({ SCOPE_CEILING: 'off' }).scopeCeiling).to.equal(false)
    expect(settingsOf({ scopeCeiling: false }).scopeCeiling).to.equal(false)
    expect(problemsOf(() => readSettings({ SCOPE_CEILING: 'false' }))[0]).to.match(/^SCOPE_CEILING must /)
    for (const scopeCeiling of [null, 0, {}]) {
      const problems = problemsOf(() => settingsOf({ scopeCeiling } as unknown as TokenLedgerOptions))
      expect(problems[0]).to.match(/^scopeCeiling must /)
    }
  })
})
