import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { batchesOf, secretsIn } from '../../../../scripts/cli/leakedSecrets.ts'
import { formatToken, tokensIn } from '../../../../src/domain/credential.ts'

const [a, b] = [formatToken('tkl', randomBytes(32)), formatToken('other9', randomBytes(32))]
const flipped = a.slice(0, -1) + (a.endsWith('0') ? '1' : '0')

describe('Tokens in a text', () => {
  it('are found by their format, whatever stands around them, and of any prefix', () => {
    expect(tokensIn(`export TOKEN=${a}; curl -H 'X-API-Token:${b}' "${a}"`)).to.deep.equal([a, b])
    expect(tokensIn(`my${a}0123, x_${b}`)).to.deep.equal([a, b])
    expect(tokensIn(`${a}${b}`)).to.deep.equal([a, b])
  })

  it('are none with another check, or cut off', () => {
    expect(tokensIn(`${flipped} ${a.slice(0, -1)} ${a.slice(1, -1)} ${a.toUpperCase()}`)).to.deep.equal([])
    expect(tokensIn('')).to.deep.equal([])
  })

  it('are found among very much that could be one', () => {
    expect(tokensIn('aaaaaaaaaaaaaaaa_'.repeat(50_000) + a)).to.deep.equal([a])
    expect(tokensIn(`${'_0'.repeat(50_000)} ${'a_'.repeat(50_000)}`)).to.deep.equal([])
  })
})

describe('The secrets of a file', () => {
  it('are its lines, if each is one word, whatever their form', () => {
    expect(secretsIn(`\n${a}\r\nold-secret-of-another-system\n  ${b}  \n${a}\n`)).to.deep.equal([
      { secret: a, line: 2 },
      { secret: 'old-secret-of-another-system', line: 3 },
      { secret: b, line: 4 },
    ])
  })

  it('are the tokens in it, if it is any other text', () => {
    expect(secretsIn(`# a config\ntoken: ${a}\nword\n\nalso: ${b}, ${a}`)).to.deep.equal([
      { secret: a, line: 2 },
      { secret: b, line: 5 },
    ])
    expect(secretsIn(' \n\n')).to.deep.equal([])
  })

  it('are sent in pieces that the service takes', () => {
    const many = Array.from({ length: 2_500 }, (_, i) => ({ secret: `secret ${i}`, line: i + 1 }))
    expect([...batchesOf(many)].map((batch) => batch.length)).to.deep.equal([1_000, 1_000, 500])
    const long = many.map(({ line }) => ({ secret: 'ä'.repeat(250), line }))
    for (const batch of batchesOf(long))
      expect(JSON.stringify(batch.map(({ secret }) => secret)).length).to.be.below(256 * 1024)
    expect([...batchesOf(long)].flat()).to.deep.equal(long)
  })
})
