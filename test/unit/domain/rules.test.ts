import { expect } from 'chai'
import { formatToken } from '../../../src/domain/credential.ts'
import {
  expiryProblem,
  isAccountId,
  isForeignId,
  isScope,
  nameProblem,
  normaliseName,
  parseTime,
  reasonProblem,
  scopeErrors,
} from '../../../src/domain/rules.ts'
import { processorTime } from '../../support/suite/loop.ts'

const TOKEN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'
const NOW = '2026-03-01T10:00:00.000Z'

/** Shows in a failure what cannot be seen. */
const escape = (text: string): string =>
  [...text].map((character) => character.codePointAt(0)?.toString(16)).join(' ')

describe('a time', () => {
  const accepted: [what: string, text: string, utc: string][] = [
    ['in UTC', '2026-03-01T10:00:00Z', '2026-03-01T10:00:00.000Z'],
    ['with lower-case t and z', '2026-03-01t10:00:00z', '2026-03-01T10:00:00.000Z'],
    ['with an offset to the east', '2026-03-01T00:30:00+01:00', '2026-02-28T23:30:00.000Z'],
    ['with an offset to the west', '2025-12-31T20:00:00-05:30', '2026-01-01T01:30:00.000Z'],
    ['with an unknown offset', '2026-03-01T10:00:00-00:00', '2026-03-01T10:00:00.000Z'],
    ['with the largest offset', '2026-03-01T23:59:00+23:59', '2026-03-01T00:00:00.000Z'],
    ['with one digit of a fraction', '2026-03-01T10:00:00.5Z', '2026-03-01T10:00:00.500Z'],
    ['with two digits of a fraction', '2026-03-01T10:00:00.05Z', '2026-03-01T10:00:00.050Z'],
    ['with milliseconds', '2026-03-01T10:00:00.123Z', '2026-03-01T10:00:00.123Z'],
    ['with a finer fraction, which is cut off', '2026-03-01T10:00:00.999999999Z', '2026-03-01T10:00:00.999Z'],
    ['with a fraction and an offset', '2026-03-01T10:00:00.25+02:00', '2026-03-01T08:00:00.250Z'],
    ['on a leap day', '2028-02-29T00:00:00Z', '2028-02-29T00:00:00.000Z'],
    ['on the leap day of a fourth century', '2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
    ['at the last second of a day', '2026-12-31T23:59:59Z', '2026-12-31T23:59:59.000Z'],
    ['in the first year', '0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000Z'],
    ['in the first century', '0050-01-01T00:00:00Z', '0050-01-01T00:00:00.000Z'],
    ['in the last year', '9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ]
  for (const [what, text, utc] of accepted) {
    it(`${what} is accepted`, () => {
      expect(parseTime(text)).to.equal(utc)
    })
  }

  const refused: [what: string, text: string][] = [
    ['that is empty', ''],
    ['without a zone', '2026-03-01T10:00:00'],
    ['without seconds', '2026-03-01T10:00Z'],
    ['that is a date only', '2026-03-01'],
    ['with a space for the T', '2026-03-01 10:00:00Z'],
    ['with spaces around it', ' 2026-03-01T10:00:00Z '],
    ['with a line end behind it', '2026-03-01T10:00:00Z\n'],
    ['with text behind it', '2026-03-01T10:00:00Z0'],
    ['in the basic format', '20260301T100000Z'],
    ['on the 30th of February', '2026-02-30T00:00:00Z'],
    ['on the 29th of February of a common year', '2026-02-29T00:00:00Z'],
    ['on the 29th of February of 1900', '1900-02-29T00:00:00Z'],
    ['on the 31st of April', '2026-04-31T00:00:00Z'],
    ['on the 32nd', '2026-01-32T00:00:00Z'],
    ['on day 0', '2026-01-00T00:00:00Z'],
    ['in month 0', '2026-00-01T00:00:00Z'],
    ['in month 13', '2026-13-01T00:00:00Z'],
    ['at 24 o’clock', '2026-03-01T24:00:00Z'],
    ['at minute 60', '2026-03-01T10:60:00Z'],
    ['in a leap second, which no clock here can hold', '2016-12-31T23:59:60Z'],
    ['in a leap second of another zone', '2017-01-01T00:59:60+01:00'],
    ['with an offset of 24 hours', '2026-03-01T10:00:00+24:00'],
    ['with an offset of 60 minutes', '2026-03-01T10:00:00+01:60'],
    ['with an offset without a colon', '2026-03-01T10:00:00+0100'],
    ['with an offset of hours only', '2026-03-01T10:00:00+01'],
    ['with a zone by name', '2026-03-01T10:00:00CET'],
    ['with a point and no fraction', '2026-03-01T10:00:00.Z'],
    ['with a comma for the point', '2026-03-01T10:00:00,5Z'],
    ['with ten digits of a fraction', '2026-03-01T10:00:00.1234567890Z'],
    ['with digits of another script', '２０２６-03-01T10:00:00Z'],
    ['of five digits of a year', '+12026-03-01T10:00:00Z'],
    ['that is before the first year in UTC', '0000-01-01T00:00:00+01:00'],
    ['that is after the last year in UTC', '9999-12-31T23:59:59-01:00'],
  ]
  for (const [what, text] of refused) {
    it(`${what} is refused`, () => {
      expect(parseTime(text)).to.equal(null)
    })
  }

  it('that was read once is read to itself again', () => {
    for (const [, , utc] of accepted) expect(parseTime(utc)).to.equal(utc)
  })
})

describe('a name', () => {
  it('is trimmed and in normal form C', () => {
    expect(normaliseName('  Cafe\u0301 \n')).to.equal('Caf\u00e9')
    expect(normaliseName('\u00a0\ufeff\u3000x')).to.equal('x')
    expect(normaliseName('\u0085\u2028 x \u1680\u0085')).to.equal('x')
  })

  it('has 1 to 100 characters, each counted once whatever its encoding', () => {
    for (const name of ['a', 'a'.repeat(100), '😀'.repeat(100)]) expect(nameProblem(name)).to.equal(null)
    for (const name of ['', 'a'.repeat(101), '😀'.repeat(101)]) {
      expect(nameProblem(name)).to.match(/1 to 100 characters/)
    }
  })

  it('is good in any spelling that has 100 characters in normal form C', () => {
    for (let code = 0x21; code < 0x11_0000; code++) {
      if (code >= 0xd800 && code < 0xe000) continue
      const character = String.fromCodePoint(code)
      const composed = character.normalize('NFC')
      const [longest = ''] = [character, composed.normalize('NFD')].sort((a, b) => b.length - a.length)
      if (longest.length < 3 || [...composed].length > 1) continue
      expect(normaliseName(longest.repeat(100)), code.toString(16)).to.equal(composed.repeat(100))
    }
  })

  it('that is too long is refused before anything is done with it', () => {
    const started = processorTime()
    for (const name of [
      `a${'\u0301'.repeat(500_000)}${'\u0316'.repeat(500_000)}`,
      '\u1112\u1161'.repeat(500_000),
    ]) {
      expect(nameProblem(normaliseName(name))).to.match(/1 to 100 characters/)
    }
    // Normal form C of these takes minutes.
    expect(processorTime() - started).to.be.below(1000)
    expect(nameProblem(normaliseName(`${' '.repeat(30_000)}a`)), 'after trimming').to.equal(null)
  })

  it('is trimmed of all white space that Unicode knows', () => {
    for (let code = 0; code < 0x1_0000; code++) {
      const space = String.fromCharCode(code)
      if (/\p{White_Space}/u.test(space))
        expect(normaliseName(`${space}x${space}`), code.toString(16)).to.equal('x')
    }
  })

  it('has at least one character that can be seen', () => {
    // From the soft hyphen, fillers, joiners, tags, private use and unassigned characters to marks without a letter.
    const blank = [
      '\u00ad',
      '\u034f',
      '\u061c',
      '\u115f',
      '\u1160',
      '\u17b4',
      '\u180b',
      '\u180e',
      '\u200b',
      '\u200c',
      '\u200d',
      '\u200e',
      '\u2060',
      '\u2064',
      '\u2800',
      '\u3164',
      '\ufe0f',
      '\uffa0',
      '\ufff9',
      '\u{1bca0}',
      '\u{1d159}',
      '\u{13441}',
      '\u{e0001}',
      '\u{e0041}',
      '\u{e0100}',
      '\u{e000}',
      '\u{f8ff}',
      '\u{10fffd}',
      '\ufdd0',
      '\uffff',
      '\u0378',
      '\u{e0fff}',
      '\u0301',
      '\u20dd',
    ]
    for (const name of [...blank, blank.join(''), '\u200b \u3164', '\u3164\u2800\u00ad'])
      expect(nameProblem(normaliseName(name)), escape(name)).to.match(/can be seen/)
    for (const character of blank) expect(nameProblem(`a${character}`), escape(character)).to.equal(null)
    for (const name of ['a', '1', '-', '$', '️1️⃣', '🔑', '☃️', 'ー', 'ا', 'क्', '\u200bx', '.', '€'])
      expect(nameProblem(normaliseName(name)), escape(name)).to.equal(null)
  })

  it('may be in any script, with marks and joiners', () => {
    for (const name of ['CI – deploy (prod)', 'ключ', '鍵', 'مفتاح', '👩‍💻', 'a\u200db', '\u200eA']) {
      expect(nameProblem(name), name).to.equal(null)
    }
  })
})

for (const [what, problem] of [
  ['a name', nameProblem],
  ['a reason', reasonProblem],
] as const) {
  describe(`the text of ${what}`, () => {
    const unprintable: [what: string, character: string][] = [
      ['NUL', '\u0000'],
      ['a tab', '\t'],
      ['a line feed', '\n'],
      ['escape', '\u001b'],
      ['delete', '\u007f'],
      ['a C1 control', '\u0085'],
      ['a line separator', '\u2028'],
      ['a paragraph separator', '\u2029'],
      ['a bidirectional embedding', '\u202a'],
      ['a bidirectional override', '\u202e'],
      ['a bidirectional isolate', '\u2066'],
      ['the end of an isolate', '\u2069'],
      ['a high surrogate alone', '\ud83d'],
      ['a low surrogate alone', '\ude00'],
    ]
    for (const [character, text] of unprintable) {
      it(`must not hold ${character}`, () => {
        expect(problem(`a${text}b`)).to.match(/control or bidirectional/)
      })
    }

    it('must not hold a token, and the refusal does not repeat it', () => {
      expect(problem(`for ${TOKEN}`)).to.equal('must not contain a token')
    })
  })
}

describe('a reason', () => {
  it('has at most 200 characters, and may be empty', () => {
    for (const reason of ['', 'leaked', '😀'.repeat(200)]) expect(reasonProblem(reason)).to.equal(null)
    for (const reason of ['a'.repeat(201), '😀'.repeat(201)]) {
      expect(reasonProblem(reason)).to.match(/at most 200 characters/)
    }
  })
})

describe('a scope', () => {
  it('is 1 to 64 of a few characters that URLs and headers hold as they are', () => {
    for (const scope of ['a', '0', 'read:*', 'tokens:write', 'a.b_c-d', 'a'.repeat(64)]) {
      expect(isScope(scope), scope).to.equal(true)
    }
    for (const scope of ['', ' ', 'A', 'read write', ':read', '*', '-a', 'é', 'a\n', 'a'.repeat(65)]) {
      expect(isScope(scope), scope).to.equal(false)
    }
  })

  it('that is not valid is named by its place', () => {
    expect(scopeErrors(['ok', 'Not', 'ok', '']).map(({ path }) => path.join('/'))).to.deep.equal([
      'scopes/1',
      'scopes/3',
    ])
  })

  it('may be one of 32 at most', () => {
    const scopes = Array.from({ length: 33 }, (_, i) => `s${i}`)
    expect(scopeErrors([])).to.deep.equal([])
    expect(scopeErrors(scopes.slice(1))).to.deep.equal([])
    expect(scopeErrors(scopes).map(({ path }) => path.join('/'))).to.deep.equal(['scopes'])
    expect(scopeErrors([...scopes.slice(1), 'Not']).map(({ path }) => path.join('/'))).to.deep.equal([
      'scopes',
      'scopes/32',
    ])
  })
})

describe('an expiry', () => {
  it('lies in the future', () => {
    expect(expiryProblem('2026-03-01T10:00:00.001Z', NOW, null)).to.equal(null)
    for (const past of [NOW, '2026-03-01T09:59:59.999Z', '0000-01-01T00:00:00.000Z']) {
      expect(expiryProblem(past, NOW, null)).to.match(/future/)
      expect(expiryProblem(past, NOW, 30)).to.match(/future/)
    }
  })

  it('may be none or as late as it likes where no lifetime is set', () => {
    expect(expiryProblem(null, NOW, null)).to.equal(null)
    expect(expiryProblem('9999-12-31T23:59:59.999Z', NOW, null)).to.equal(null)
  })

  it('must be set where a lifetime is set', () => {
    expect(expiryProblem(null, NOW, 30)).to.equal('must be set, at most 30 days ahead')
  })

  it('lies within the lifetime, to the millisecond', () => {
    expect(expiryProblem('2026-03-31T10:00:00.000Z', NOW, 30)).to.equal(null)
    expect(expiryProblem('2026-03-31T10:00:00.001Z', NOW, 30)).to.equal('must be at most 30 days ahead')
  })
})

describe('an id of another system', () => {
  for (const id of [
    'acct_1',
    'auth0|6479c1',
    'ann@example.com',
    'Ärzte GmbH',
    'مثال',
    'x'.repeat(255),
    // They look like a token, but the check is not one.
    `user_${'0f'.repeat(32)}`,
    `${TOKEN.slice(0, -1)}X`,
    'a.e.f',
  ])
    it(`may be ${id.slice(0, 60)}`, () => {
      expect(isForeignId(id)).to.equal(true)
      expect(isAccountId(id)).to.equal(true)
    })

  for (const [what, id] of [
    ['empty', ''],
    ['too long', 'x'.repeat(256)],
    ['a token', TOKEN],
    ['a text that holds a token', `of ${TOKEN}!`],
    ['a token of another prefix', formatToken('acme', new Uint8Array(32).fill(7))],
    ['a token in needless percent-encoding', TOKEN.replace('_', '%5f')],
    ['a JWT', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl'],
    ['a text with a control character', 'acct\n1'],
    ['a text that is written backwards', 'acct\u202e1'],
    ['a text with an isolate', 'acct\u20661'],
  ] as const)
    it(`is not ${what}`, () => {
      expect(isForeignId(id)).to.equal(false)
      expect(isAccountId(id)).to.equal(false)
    })
})
