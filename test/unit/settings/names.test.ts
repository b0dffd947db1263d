import { expect } from 'chai'
import { misspelt, settingNames } from '../../../src/settings/names.ts'

describe('a name in the environment', () => {
  const looksLike: [name: string, meant: string][] = [
    ['READ_MODEL_URl', 'READ_MODEL_URL'],
    ['USAGE_FLUSHMS', 'USAGE_FLUSH_MS'],
    ['TOKEN_PEPPER', 'TOKEN_PEPPERS'],
    ['token_peppers', 'TOKEN_PEPPERS'],
    ['JWT_ISUER', 'JWT_ISSUER'],
    ['SCOPE', 'SCOPES'],
  ]
  for (const [name, meant] of looksLike) {
    it(`that is nearly a setting is named, with what may be meant: ${name}`, () => {
      expect(misspelt({ [name]: 'a secret value' })).to.deep.equal([
        `${name} is no setting: is ${meant} meant?`,
      ])
    })
  }

  it('that begins like several settings is named', () => {
    expect(misspelt({ RATE_LIMIT_PER_HOUR: '1', USAGE_KEEP: '1' })).to.deep.equal([
      'RATE_LIMIT_PER_HOUR is no setting, though it begins like one',
      'USAGE_KEEP is no setting, though it begins like one',
    ])
  })

  it('that belongs to others, or is spelt right, is not', () => {
    const others = ['HOME', 'HOSTNAME', 'PATH', 'PWD', 'SHELL', 'LANG', 'USER', 'TERM', 'NODE_OPTIONS', 'TZ']
    const right = Object.fromEntries(settingNames().map((name) => [name, '1']))
    expect(misspelt({ ...Object.fromEntries(others.map((name) => [name, '1'])), ...right })).to.deep.equal([])
    expect(misspelt({ TOKEN_PEPPER: '', [`TOKEN_${'X'.repeat(10_000)}`]: '1' })).to.deep.equal([])
  })

  for (const mode of ['prod', 'Production', 'PRODUCTION', 'producton', 'live'])
    it(`says that NODE_ENV is not production where it is ${mode}`, () =>
      expect(misspelt({ NODE_ENV: mode })).to.have.lengthOf(1))
  for (const mode of ['production', 'development', 'test', 'staging', ''])
    it(`says nothing of NODE_ENV=${mode}`, () => expect(misspelt({ NODE_ENV: mode })).to.deep.equal([]))
})
