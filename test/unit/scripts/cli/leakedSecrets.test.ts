import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { WrongUse } from '../../../../scripts/cli/command.ts'
import { batchesOf, secretsIn, secretsInFile } from '../../../../scripts/cli/leakedSecrets.ts'
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

/** Those of which each has a row, whatever the service knows of them, and the others, with their lines. */
function foundIn(text: string) {
  const { secrets, lines } = secretsIn(text)
  const of = (isToken: boolean) =>
    secrets.filter((found) => found.isToken === isToken).map(({ secret, line }) => ({ secret, line }))
  return { tokens: of(true), others: of(false), lines: lines.map(({ line }) => line) }
}

describe('The secrets of a file', () => {
  const old = 'old-secret-of-another-system'

  it('are its lines, if each is one word, whatever their form', () => {
    expect(foundIn(`\n${a}\r\n${old}\n  ${b}  \n${a}\nshort\n`)).to.deep.equal({
      tokens: [
        { secret: a, line: 2 },
        { secret: b, line: 4 },
      ],
      others: [
        { secret: old, line: 3 },
        { secret: 'short', line: 6 },
      ],
      lines: [2, 3, 4, 5, 6],
    })
  })

  it('are the tokens in it, if it is any other text', () => {
    expect(foundIn(`# a config\ntoken: ${a}\nword\n\nalso: ${b}, ${a}`)).to.deep.equal({
      tokens: [
        { secret: a, line: 2 },
        { secret: b, line: 5 },
      ],
      others: [],
      lines: [2, 5],
    })
    expect(foundIn(' \n\n')).to.deep.equal({ tokens: [], others: [], lines: [] })
  })

  it('are the tokens within its words, where they have some', () => {
    expect(foundIn(`TOKEN=${a}\n{"token":"${b}"}\n${old}\n`)).to.deep.equal({
      tokens: [
        { secret: a, line: 1 },
        { secret: b, line: 2 },
      ],
      others: [{ secret: old, line: 3 }],
      lines: [1, 2, 3],
    })
  })

  it('are also words that can be secrets of another system, beside whatever else', () => {
    const padded = 'c2VjcmV0LW9mLWFub3RoZXI='
    const texts = [
      `${old} # prod`,
      `OLD_TOKEN=${old}`,
      `  "token": "${old}",`,
      `{"a":1,"token":"${old}"}`,
      `curl 'https://api.example.com/v1?token=${old}&page=2'`,
      `Authorization: Bearer ${old}`,
      `${old} ${a}`,
    ]
    for (const text of texts)
      expect(foundIn(`some text\n${text}`).others, text).to.deep.include({ secret: old, line: 2 })
    expect(foundIn(`OLD_TOKEN=${padded} # x`).others).to.deep.include({ secret: padded, line: 1 })
  })

  it('are also what only looks like a token, so that somebody hears of it', () => {
    expect(foundIn(`see ${flipped} and ${b}\nTOKEN=${b.slice(0, -5)}; x`).tokens).to.have.deep.members([
      { secret: flipped, line: 1 },
      { secret: b, line: 1 },
      { secret: b.slice(0, -5), line: 2 },
    ])
  })

  it('are found where a line was broken within them, and their parts are none', () => {
    const broken = `${a.slice(0, 24)}\r\n  ${a.slice(24)} and ${b.slice(0, 30)}=\n${b.slice(30)}.`
    expect(foundIn(`it was ${broken}`)).to.deep.equal({
      tokens: [
        { secret: a, line: 1 },
        { secret: b, line: 2 },
      ],
      others: [],
      lines: [1, 2],
    })
  })

  it('are guessed only as far as they can be looked for, and each line with one is known', () => {
    const text = (n: number) => Array.from({ length: n }, (_, i) => `log line-with-a-word-${i}`).join('\n')
    const { secrets, lines } = secretsIn(`${text(100_001)} ${a}`)
    expect([secrets.length, lines.length]).to.deep.equal([100_000, 100_001])
    expect(secrets).to.deep.include({ secret: a, line: 100_001, isToken: true })
  })

  it('are not more than can be looked for', () => {
    const words = (n: number) => Array.from({ length: n }, (_, i) => `word-${i}`).join('\n')
    expect(secretsIn(words(100_000)).secrets).to.have.lengthOf(100_000)
    expect(() => secretsIn(words(100_001))).to.throw(WrongUse, 'more than 100000 secrets')
  })

  it('are sent in pieces that the service takes', () => {
    const many = Array.from({ length: 2_500 }, (_, i) => ({
      secret: `secret ${i}`,
      line: i + 1,
      isToken: false,
    }))
    expect([...batchesOf(many)].map((batch) => batch.length)).to.deep.equal([1_000, 1_000, 500])
    const long = many.map((one) => ({ ...one, secret: 'ä'.repeat(250) }))
    for (const batch of batchesOf(long))
      expect(JSON.stringify(batch.map(({ secret }) => secret)).length).to.be.below(256 * 1024)
    expect([...batchesOf(long)].flat()).to.deep.equal(long)
  })
})

describe('A file of secrets', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
  const path = join(folder, 'found')
  after(() => rmSync(folder, { recursive: true }))
  const secretsOf = (content: string | Buffer) => {
    writeFileSync(path, content)
    return secretsInFile(path).secrets.map(({ secret }) => secret)
  }

  it('may be in UTF-8 or, as some shells write it, in UTF-16', () => {
    const text = `\uFEFFfound: ${a}\n`
    for (const bytes of [text, Buffer.from(text, 'utf16le'), Buffer.from(text, 'utf16le').swap16()])
      expect(secretsOf(bytes)).to.deep.equal([a])
  })

  it('may be of any bytes', () => {
    const bytes = Buffer.concat([randomBytes(10_000), Buffer.from(` ${a}\0`), randomBytes(10_000)])
    expect(secretsOf(bytes)).to.include(a)
  })

  it('is read up to a limit, also if it has no end', () => {
    expect(() => secretsOf(Buffer.alloc(16 * 1024 * 1024 + 1, a))).to.throw(WrongUse, 'more than 16 MiB')
    expect(() => secretsInFile('/dev/zero')).to.throw(WrongUse, 'more than 16 MiB')
  })

  it('is named wrongly where nothing can be read, or no secret is in it', () => {
    expect(() => secretsInFile(folder)).to.throw(WrongUse, 'cannot be read (EISDIR)')
    expect(() => secretsInFile(join(folder, 'nothing'))).to.throw(WrongUse, 'cannot be read (ENOENT)')
    expect(() => secretsOf('no secret in here')).to.throw(WrongUse, 'no secret was found')
  })
})
