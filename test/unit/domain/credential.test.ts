import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  formatToken,
  hashLegacyToken,
  hashToken,
  hintOf,
  holdsCredential,
  isLegacyToken,
  isToken,
  keptText,
  LOOKED_AT,
  maskCredentials,
  parsePeppers,
  PREFIX_PATTERN,
} from '../../../src/domain/credential.ts'
import { cutText } from '../../../src/domain/text.ts'
import { projectRoot } from '../../support/project/package.ts'
import { processorTime } from '../../support/suite/loop.ts'

interface Vectors {
  alphabet: string
  valid: { prefix: string; bytes_hex: string; token: string }[]
  invalid: { why: string; token: string }[]
}

const vectors = JSON.parse(
  readFileSync(join(projectRoot, 'test/golden/token-vectors.json'), 'utf8'),
) as Vectors

const TOKEN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'
const BODY = TOKEN.slice(4)
/** The body of another token. */
const OTHER = [...BODY].toReversed().join('')
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'
const HEAD = JWT.slice(0, JWT.indexOf('.'))

const jwtPart = (json: string): string => Buffer.from(json).toString('base64url')
const encoded = (text: string): string =>
  Buffer.from(text)
    .toString('hex')
    .replace(/../g, (hex) => `%${hex}`)

const key = (fill: number, bytes = 32): string => Buffer.alloc(bytes, fill).toString('base64')

describe('a token', () => {
  for (const { prefix, bytes_hex: hex, token } of vectors.valid) {
    it(`of ${prefix} and the bytes ${hex.slice(0, 16)}… is ${token.slice(0, 16)}…, and is known as one`, () => {
      expect(formatToken(prefix, Buffer.from(hex, 'hex'))).to.equal(token)
      expect(isToken(prefix, token)).to.equal(true)
    })
  }

  for (const { why, token } of vectors.invalid) {
    it(`is refused: ${why}`, () => {
      expect(isToken('tkl', token)).to.equal(false)
    })
  }

  it('of another prefix is refused, also of a prefix that begins or ends alike', () => {
    for (const prefix of ['a1', 'tk', 'tkll', 'kl', 'xtkl']) expect(isToken(prefix, TOKEN)).to.equal(false)
  })

  it('is refused after any change of one character', () => {
    for (let i = 0; i < TOKEN.length; i++) {
      for (const other of ['0', 'A', 'z', '_', ' ']) {
        if (TOKEN[i] === other) continue
        const changed = TOKEN.slice(0, i) + other + TOKEN.slice(i + 1)
        expect(isToken('tkl', changed), changed).to.equal(false)
      }
    }
  })

  it('is made of 32 bytes, no fewer and no more', () => {
    for (const length of [0, 31, 33, 64]) {
      expect(() => formatToken('tkl', new Uint8Array(length))).to.throw(RangeError)
    }
  })

  it('is made from the bytes of a view, not from those around it', () => {
    const { bytes_hex: hex = '', token } = vectors.valid[5] ?? {}
    const around = Buffer.concat([Buffer.alloc(3, 255), Buffer.from(hex, 'hex'), Buffer.alloc(3, 255)])
    expect(formatToken('tkl', new Uint8Array(around).subarray(3, 35))).to.equal(token)
  })

  it('has a prefix of 2 to 16 lower-case letters and digits that starts with a letter', () => {
    for (const prefix of ['tk', 'a1', 'acmeprod', 'a'.repeat(16)]) expect(prefix).to.match(PREFIX_PATTERN)
    for (const prefix of ['', 't', '1a', 'Tkl', 'tk_', 'tk-l', 'é1', 'tkl\n', 'a'.repeat(17)]) {
      expect(prefix).not.to.match(PREFIX_PATTERN)
    }
  })
})

describe('the hint of a token', () => {
  it('is its prefix and the last four characters of its body', () => {
    expect(hintOf('tkl', TOKEN)).to.equal('tkl_…BAEA')
    expect(hintOf('acmeprod', vectors.valid[4]?.token ?? '')).to.equal('acmeprod_…1IIq')
  })

  it('says nothing else of any token', () => {
    for (const { prefix, token } of vectors.valid) {
      expect(hintOf(prefix, token)).to.equal(`${prefix}_…${token.slice(-10, -6)}`)
    }
  })
})

describe('a token of an older system', () => {
  it('has 16 to 255 visible ASCII characters', () => {
    for (const text of [
      'x'.repeat(16),
      'x'.repeat(255),
      '!"#$%&/()=?`*+~~',
      `${TOKEN}x`,
      TOKEN.slice(0, -1),
    ]) {
      expect(isLegacyToken('tkl', text), text).to.equal(true)
    }
    for (const text of [
      '',
      'x'.repeat(15),
      'x'.repeat(256),
      'with one space in it',
      'with\ttab-in-the-middle',
      'with-an-é-in-the-middle',
      'ends-with-a-newline\n',
    ]) {
      expect(isLegacyToken('tkl', text), text).to.equal(false)
    }
  })

  it('is never one of the own format; with another prefix, or wrong check digits, it may be', () => {
    expect(isLegacyToken('tkl', TOKEN)).to.equal(false)
    expect(isLegacyToken('acme', TOKEN)).to.equal(true)
    expect(isLegacyToken('tkl', `${TOKEN.slice(0, -1)}${TOKEN.endsWith('0') ? '1' : '0'}`)).to.equal(true)
  })

  it('is known by its plain SHA-256', () => {
    expect(hashLegacyToken('password')).to.equal(
      '5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8',
    )
  })
})

describe('peppers', () => {
  it('have no id that means the plain hashes of imported tokens', () => {
    expect(() => parsePeppers(`k1:${key(1)},sha256:${key(2)}`)).to.throw(/must not name a key sha256/)
  })

  it('are read in their order, so that the first signs', () => {
    expect(parsePeppers(`k2:${key(2)},k1:${key(1)}`)).to.deep.equal([
      { id: 'k2', key: Buffer.alloc(32, 2) },
      { id: 'k1', key: Buffer.alloc(32, 1) },
    ])
  })

  it('may stand with spaces around them, without padding and in base64url', () => {
    const read = parsePeppers(
      ` a_-1:${key(251).replaceAll('=', '')} , b:${Buffer.alloc(48, 255).toString('base64url')} `,
    )
    expect(read).to.deep.equal([
      { id: 'a_-1', key: Buffer.alloc(32, 251) },
      { id: 'b', key: Buffer.alloc(48, 255) },
    ])
  })

  const refused: [what: string, text: string, message: RegExp][] = [
    ['nothing', '', /<id>:<base64>/],
    ['no id', key(1), /<id>:<base64>/],
    ['an empty id', `:${key(1)}`, /<id>:<base64>/],
    ['an id of more than 32 characters', `${'k'.repeat(33)}:${key(1)}`, /<id>:<base64>/],
    ['an id with a dot', `k.1:${key(1)}`, /<id>:<base64>/],
    ['no key', 'k1:', /<id>:<base64>/],
    ['a key that is not base64', `k1:${key(1)}!`, /<id>:<base64>/],
    ['padding inside', `k1:AAAA=${key(1)}`, /<id>:<base64>/],
    ['a comma at the end', `k1:${key(1)},`, /<id>:<base64>/],
    ['a key of 31 bytes', `k1:${key(1, 31)}`, /at least 32 bytes/],
    ['a short key behind a good one', `k2:${key(2)},k1:${key(1, 16)}`, /at least 32 bytes/],
    ['the same id twice', `k1:${key(2)},k1:${key(1)}`, /twice/],
  ]
  for (const [what, text, message] of refused) {
    it(`are refused with ${what}, and none of the text is said`, () => {
      let said = ''
      try {
        parsePeppers(text)
      } catch (error) {
        said = (error as Error).message
      }
      expect(said).to.match(message)
      for (const part of text.split(/[:,]/).filter((some) => some.length > 3))
        expect(said).not.to.include(part)
    })
  }

  it('make the hash that is kept: HMAC-SHA-256 in lower-case hex, another one for each pepper', () => {
    const [one, two] = parsePeppers(`k1:${key(1)},k2:${key(2)}`)
    if (!one || !two) throw new Error('two peppers')
    const expected = createHmac('sha256', Buffer.alloc(32, 1)).update(TOKEN).digest('hex')
    expect(hashToken(one, TOKEN))
      .to.equal(expected)
      .and.to.match(/^[0-9a-f]{64}$/)
    expect(hashToken(two, TOKEN)).not.to.equal(expected)
  })
})

describe('masking', () => {
  it('replaces every token of the vectors', () => {
    for (const { token } of vectors.valid)
      expect(maskCredentials(`a ${token} b`)).to.equal('a [credential] b')
  })

  const masked: [what: string, text: string, left: string][] = [
    ['a token alone', TOKEN, '[credential]'],
    ['a token in a path', `/v1/${TOKEN}/x`, '/v1/[credential]/x'],
    ['a token in a query', `?token=${TOKEN}&a=1`, '?token=[credential]&a=1'],
    ['a token in quotes', `"${TOKEN}"`, '"[credential]"'],
    ['two tokens', `${TOKEN},${TOKEN}`, '[credential],[credential]'],
    ['two tokens in one word', `/${TOKEN}${TOKEN}/`, '/[credential][credential]/'],
    ['three, of which one has a longer prefix', `${TOKEN}0a${TOKEN}${TOKEN}`, '[credential]'.repeat(3)],
    ['a token with a wrong check', `${TOKEN.slice(0, -1)}A`, '[credential]'],
    ['a JWT', `Bearer ${JWT}`, 'Bearer [credential]'],
    ['an unsigned JWT', JWT.slice(0, JWT.lastIndexOf('.') + 1), '[credential]'],
    ['a token and a JWT', `${TOKEN} ${JWT}`, '[credential] [credential]'],
    ['a token and a JWT in one word', `${TOKEN}${JWT}`, '[credential][credential]'],
    ['a JWT and a token in one word', `${JWT}${TOKEN}`, '[credential]'],
    ['two JWTs in one word', `/${JWT}${JWT}/`, '/[credential]/'],
    ['two JWTs with a dot between them', `/${JWT}.${JWT}/`, '/[credential]/'],
    ['a JWT without claims', `${HEAD}.e30.c2lnbmF0dXJl`, '[credential]'],
    [
      'a JWT whose parts are spaced',
      `${jwtPart('{ "alg": "HS256" }')}.${jwtPart('{\n"sub": "a"}')}.c2ln`,
      '[credential]',
    ],
    ['a JWT in a path', `/v1/${JWT}/x`, '/v1/[credential]/x'],
    ['a JWT with percent-encoded dots', `/v1/${JWT.replaceAll('.', '%2e')}/x`, '/v1/[credential]/x'],
    ['a JWT in percent-encoding', `/v1/${encoded(JWT)}/x`, '/v1/[credential]/x'],
    ['a token with a percent-encoded underscore', `/v1/${TOKEN.replace('_', '%5F')}/x`, '/v1/[credential]/x'],
    ['a token in percent-encoding', `/v1/${encoded(TOKEN)}/x`, '/v1/[credential]/x'],
  ]
  for (const [what, text, left] of masked) {
    it(`replaces ${what}`, () => {
      expect(maskCredentials(text)).to.equal(left)
      expect(holdsCredential(text)).to.equal(true)
    })
  }

  const attached: [what: string, before: string][] = [
    ['an underscore', 'my_'],
    ['a digit', '7'],
    ['a capital letter', 'KEY'],
    ['a small letter', 'key'],
    ['a percent-encoded space', 'a%20'],
    ['a percent-encoded equals sign', 'token%3D'],
    ['a long word', 'abcdefghijklmnopqrstuvwxyz'],
  ]
  for (const [what, before] of attached) {
    it(`leaves nothing of a token behind ${what}`, () => {
      expect(maskCredentials(before + TOKEN)).not.to.include(BODY)
      expect(holdsCredential(before + TOKEN)).to.equal(true)
    })

    it(`leaves nothing of a JWT behind ${what}`, () => {
      expect(maskCredentials(before + JWT)).not.to.include(JWT)
      expect(holdsCredential(before + JWT)).to.equal(true)
    })
  }

  it('leaves nothing of a token before more text', () => {
    for (const after of ['0', 'abc', '_x', '%20', '.']) {
      expect(maskCredentials(TOKEN + after)).not.to.include(BODY)
    }
  })

  it('leaves other text as it is', () => {
    for (const text of [
      '',
      'curl/8.5.0',
      'tkl_…BAEA',
      'tkl_short',
      'eyJ is how a JWT begins',
      'a.b.c',
      '日本',
      'KeyJanitor-production',
      'KeyJanitor.production.eu',
      'surveyJsonSchemas',
      '/api/surveyJsonSchemas',
      '/api/survey.eyJournal.eyJsonSchemas',
      'monkeyJunglebook_2',
      'eyJwhatever-this-is-no-json.eyJneither-is-this.c2ln',
      '/pages/eyJpZCI6MTcsImF0IjoiMjAyNiJ9',
      '100%41 sure',
      'a%2Fb%20c',
    ]) {
      expect(maskCredentials(text)).to.equal(text)
      expect(holdsCredential(text)).to.equal(false)
    }
  })

  it('leaves nothing of a token that the cut has taken the end of, whatever stands before it', () => {
    const piece = 12
    for (let before = 0; before <= 7; before++) {
      for (let gap = 0; gap <= 2 * TOKEN.length; gap++) {
        // In the second half of them, nothing is between the tokens.
        const slash = gap > TOKEN.length ? '' : '/'
        const filler = 'x'.repeat(gap % TOKEN.length)
        const text = `/${filler}${`${TOKEN}${slash}`.repeat(before)}${slash}${TOKEN.replace(BODY, OTHER)}/and/more/${'y'.repeat(400)}`
        // The text as it comes, and as it comes if somebody has cut it before.
        for (const kept of [
          keptText(text),
          keptText(text.slice(0, LOOKED_AT)),
          keptText(cutText(text, LOOKED_AT)),
        ]) {
          for (let at = 0; at + piece <= OTHER.length; at++) {
            expect(
              kept.includes(OTHER.slice(at, at + piece)),
              `${before} before, gap ${gap}: ${kept}`,
            ).to.equal(false)
          }
        }
      }
    }
  })

  it('leaves nothing of a JWT that the cut has taken the end of, whatever stands before it', () => {
    const jwt = `${jwtPart('{"alg":"RS256","kid":"a key with a name"}')}.${jwtPart('{"sub":"jos\u00e9","scope":"a b c d e f g h i"}')}.${jwtPart('x'.repeat(64))}`
    const piece = 12
    for (let before = 0; before <= 3; before++) {
      for (let gap = 0; gap <= LOOKED_AT; gap++) {
        const text = `/${TOKEN.repeat(before)}/${'x'.repeat(gap)}/${'y'.repeat(30)}${jwt}/${'z'.repeat(400)}`
        const kept = keptText(text)
        const tail = kept.slice(-jwt.length)
        for (let at = 0; at + piece <= jwt.length; at++)
          if (tail.includes(jwt.slice(at, at + piece))) expect.fail(`${before} before, gap ${gap}: ${kept}`)
      }
    }
  })

  it('leaves nothing of a percent-encoded token that the cut has taken the end of', () => {
    for (let gap = 0; gap <= LOOKED_AT; gap++) {
      const kept = keptText(
        `/${TOKEN.repeat(3)}/${'x'.repeat(gap)}/${encoded(TOKEN.replace(BODY, OTHER))}/more`,
      )
      for (const text of [kept, decodeURIComponent(kept.replace(/%.?$/, ''))])
        for (let at = 0; at + 12 <= OTHER.length; at++)
          if (text.includes(OTHER.slice(at, at + 12))) expect.fail(`gap ${gap}: ${text}`)
    }
  })

  it('keeps forty routes apart whose names begin like a JWT', () => {
    const routes = Array.from(
      { length: 40 },
      (_, n) => `/api/surveyJsonSchemas/v${n}/${'keyJanitor/'.repeat(40)}`,
    )
    expect(new Set(routes.map(keptText)).size).to.equal(40)
    expect(keptText(routes[3] ?? '')).to.equal(routes[3]?.slice(0, 256))
  })

  it('takes no long time for a text that is made to take long', () => {
    const started = processorTime()
    const texts = ['eyJ', 'e30', 'ewo', 'eyJ.eyJ', `${HEAD}.e30`, 'tkl_', '%65', '.e30.', 'eyJ9'].flatMap(
      (some) => [some.repeat(384).slice(0, 384), `${some.repeat(384).slice(0, 370)}.e30.`],
    )
    for (let round = 0; round < 100; round++) for (const text of texts) keptText(text)
    // Only a flood would notice a fiftieth of a second for each round.
    expect(processorTime() - started).to.be.lessThan(2_000)
  })

  it('keeps other text that is cut, up to its bound and without half a character', () => {
    expect(keptText('a'.repeat(1_000))).to.equal('a'.repeat(256))
    expect(keptText('/a_b/'.repeat(100))).to.equal('/a_b/'.repeat(100).slice(0, 256))
    expect(keptText(`x${'\u{1F511}'.repeat(400)}`)).to.equal(`x${'\u{1F511}'.repeat(127)}`)
  })

  it('gives the same answer each time it is asked', () => {
    for (let i = 0; i < 3; i++) expect(holdsCredential(TOKEN)).to.equal(true)
  })
})
