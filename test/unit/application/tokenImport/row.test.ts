import { expect } from 'chai'
import { type ImportedToken, readRow } from '../../../../src/application/tokenImport/row.ts'
import { formatToken } from '../../../../src/domain/credential.ts'
import {
  type OldRow,
  oldRow,
  oldToken,
  RULES,
  sha256,
  UUID_OF_ROW,
} from '../../../support/events/oldTable.ts'
import { processorTime } from '../../../support/suite/loop.ts'

const read = (row: OldRow): ImportedToken | string => readRow(JSON.stringify(row), RULES)

function tokenOf(row: OldRow): ImportedToken {
  const token = read(row)
  if (typeof token === 'string') throw new Error(token)
  return token
}

function reasonOf(row: OldRow): string {
  const wrong = read(row)
  if (typeof wrong !== 'string') throw new Error('it is good')
  return wrong
}

describe('a row of an old table', () => {
  it('becomes a token with all that is known of it', () => {
    const row = oldRow(1, {
      id: UUID_OF_ROW,
      name: '  Cafe\u0301 ',
      last_accessed: '2026-11-19T23:59:59.123456Z',
      expires_at: '2026-12-24T18:00:00+01:00',
    })
    expect(read(row)).to.deep.equal({
      tokenId: UUID_OF_ROW,
      accountId: 'acct_1',
      name: 'Café',
      hash: sha256(oldToken(1)),
      hashKeyId: 'sha256',
      hint: '…',
      scopes: [],
      createdAt: '2024-05-01T10:00:00.000Z',
      updatedAt: '2024-06-01T08:00:00.500Z',
      lastAccessed: '2026-11-19T23:59:59.123Z',
      expiresAt: '2026-12-24T17:00:00.000Z',
      oldId: UUID_OF_ROW,
      description: null,
      metadata: {},
      allowedIps: null,
    })
  })

  it('is checked at once, however long its members are', () => {
    const started = processorTime()
    const long = `a${'\u0301'.repeat(250_000)}`
    for (const member of ['id', 'token', 'account_id', 'name', 'created_at', 'expires_at'] as const) {
      expect(reasonOf(oldRow(1, { [member]: long }))).to.contain(member)
    }
    expect(processorTime() - started).to.be.below(2000)
  })

  it('keeps a UUID as the id, in lower case, and what it was written as', () => {
    const id = UUID_OF_ROW.toUpperCase()
    expect(tokenOf(oldRow(1, { id }))).to.include({ tokenId: UUID_OF_ROW, oldId: id })
  })

  it('gets an id from account and old id where that is no UUID', () => {
    const ids = [
      { id: 17 },
      { id: '18' },
      { id: '507f1f77bcf86cd799439011' },
      { id: `{${UUID_OF_ROW}}` },
      { id: 17, account_id: 'acct_2' },
    ].map((fields) => tokenOf(oldRow(1, fields)).tokenId)
    expect(new Set(ids).size).to.equal(ids.length)
    for (const id of ids)
      expect(id).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/)
    // This must never change: with other ids, every row would be imported a second time.
    expect(ids[0]).to.equal('bb678e14-1b53-510b-9214-b7675c794e97')
    expect(tokenOf(oldRow(1, { id: '17' })).tokenId).to.equal(ids[0])
  })

  it('may be expired, and may have a hash in upper case', () => {
    const row = oldRow(1, { expires_at: '2020-01-01T00:00:00Z', token: sha256(oldToken(1)).toUpperCase() })
    expect(read(row)).to.include({ expiresAt: '2020-01-01T00:00:00.000Z', hash: sha256(oldToken(1)) })
  })

  it('never expires where PostgreSQL says infinity', () => {
    expect(tokenOf(oldRow(1, { expires_at: 'infinity' }))).to.deep.equal(
      tokenOf(oldRow(1, { expires_at: null })),
    )
    for (const text of ['-infinity', 'Infinity', ' infinity', 'infinity '])
      expect(reasonOf(oldRow(1, { expires_at: text })), text).to.match(/^expires_at must be/)
    for (const member of ['created_at', 'updated_at', 'last_accessed'])
      expect(reasonOf(oldRow(1, { [member]: 'infinity' }))).to.match(new RegExp(`^${member} must be`))
  })

  it('is refused with a member twice, however it is spelt: nobody can tell when it expires', () => {
    const row = JSON.stringify(oldRow(1, { expires_at: '2027-01-01T00:00:00Z' }))
    for (const again of [
      '"expires_at":null',
      '"expires\\u005fat":null',
      '"name":"other"',
      '"name":{"a":1,"a":2}',
    ])
      expect(readRow(row.replace('}', `,${again}}`), RULES), again).to.match(/^it has a member twice/)
  })

  const bad: [member: string, values: unknown[]][] = [
    ['id', ['', 'x'.repeat(256), 'a\nb', '\ud800', 1.5, 2 ** 53, null, true, {}, [1]]],
    ['token', ['', oldToken(1), 'a'.repeat(63), 'g'.repeat(64), ` ${'a'.repeat(64)}`, null, 5]],
    ['account_id', ['', 'x'.repeat(256), 'a\u0000', ' acct', 'acct\u3000', '\tacct', 42, null]],
    [
      'name',
      ['', '   ', 'x'.repeat(101), 'a\nb', '\u202egnp', formatToken('tkl', Buffer.alloc(32)), null, 7],
    ],
    ...['created_at', 'updated_at'].map((member): [string, unknown[]] => [
      member,
      [
        '2024-05-02 10:00:00',
        '2024-05-02T10:00:00',
        '2024-05-02',
        '2023-02-29T00:00:00Z',
        '2026-11-20T00:00:00.001Z',
        1_700_000_000,
        null,
        '',
      ],
    ]),
    ['last_accessed', ['2024-05-02 10:00:00+00', '2026-11-20T00:00:01Z', '', 0, false]],
    ['expires_at', ['2027-01-01', 'never', 0, '', false]],
    ['scopes', ['orders:read', {}, [1], [null], ['A'], Array.from({ length: 33 }, (_, i) => `scope${i}`)]],
    ['description', ['x'.repeat(501), 'a\u0000b', formatToken('tkl', Buffer.alloc(32)), 1, ['text']]],
    [
      'metadata',
      [
        { 'a b': '' },
        { a: 1 },
        { a: null },
        { a: 'x'.repeat(201) },
        { a: formatToken('tkl', Buffer.alloc(32)) },
        Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`name${i}`, ''])),
        ['a'],
        'a',
      ],
    ],
    [
      'allowed_ips',
      [
        [],
        ['10.0.0.1/8'],
        ['fe80::1%eth0'],
        ['::ffff:0:0/95'],
        ['010.0.0.1'],
        ['10.0.0.1:80'],
        ['[::1]'],
        [1],
        '10.0.0.1',
        Array.from({ length: 101 }, (_, i) => `10.0.0.${i}`),
      ],
    ],
  ]
  for (const [member, values] of bad) {
    for (const value of values) {
      it(`is refused by name for ${member}: ${JSON.stringify(value).slice(0, 40)}`, () => {
        const wrong = reasonOf(oldRow(1, { [member]: value }))
        expect(wrong).to.match(new RegExp(`^${member}(/\\d)? must `))
        expect(wrong.split(';')).to.have.lengthOf(1)
        for (const text of [value, ...Object.values(Object(value))])
          if (typeof text === 'string' && text.length > 9) expect(wrong).not.to.contain(text)
      })
    }
  }

  it('is refused with all that is wrong with it', () => {
    const wrong = read(oldRow(1, { id: null, token: null, account_id: null, name: null, created_at: null }))
    for (const member of ['id', 'token', 'account_id', 'name', 'created_at']) {
      expect(wrong).to.contain(`${member} must be`)
    }
  })

  it('is refused where a text of it is the token itself, or a token of ours', () => {
    const token = 'the-old-secret-itself'
    const words = 'abcdefghijklmnop'
    const hidden = { scopes: ['a', words], description: words, metadata: { a: words } }
    for (const [member, value] of Object.entries({ ...hidden, metadata: { [words]: 'a' } }))
      expect(read(oldRow(1, { token: sha256(words), [member]: value }))).to.equal(
        `${member} must not be a token`,
      )
    expect(read(oldRow(1, { token: sha256(words), ...hidden }))).to.equal('scopes must not be a token')
    for (const member of ['id', 'account_id', 'name']) {
      for (const row of [
        oldRow(1, { token: sha256(token), [member]: token }),
        oldRow(1, { [member]: formatToken('tkl', Buffer.alloc(32, 1)) }),
      ]) {
        expect(read(row), member)
          .to.be.a('string')
          .and.match(new RegExp(`^${member} must (not be|be a text .* that is no|not contain) a? ?token`))
      }
    }
  })

  it('is refused with a member too few or too many: a misspelt expiry would live for ever', () => {
    const { expires_at: _, ...without } = oldRow(1)
    const all = '(a row has id, token, account_id, name, created_at, updated_at, last_accessed, expires_at, '
    expect(read(without)).to.contain(`it lacks expires_at ${all}`)
    expect(read({ ...without, expiresAt: null })).to.contain(
      `it lacks expires_at; it has "expiresAt", which no row may have ${all}`,
    )
    expect(read({ ...oldRow(1), allowedIps: null, b: 1 })).to.contain(
      `it has "allowedIps", "b", which no row may have ${all}`,
    )
    const secret = formatToken('tkl', Buffer.alloc(32, 1))
    expect(read({ ...oldRow(1), [secret]: 1, ['x'.repeat(1_000)]: 2 }))
      .to.contain('which no row may have')
      .and.not.contain(secret)
      .and.not.contain('x'.repeat(65))
    for (const text of ['{}', '{"id":1}', '{"__proto__":1}'])
      expect(readRow(text, RULES), text).to.match(/^it lacks .*token, account_id, name, /)
  })

  it('may say what its token is for, what it may do and from where, in the one form of all tokens', () => {
    const row = oldRow(1, {
      scopes: ['orders:read', 'a', 'orders:read'],
      description: '  Cafe\u0301\nof the shop ',
      metadata: { team: 'shop' },
      allowed_ips: ['::ffff:192.0.2.7', '2001:DB8::/32', '192.0.2.7/32'],
    })
    expect(read(row)).to.deep.include({
      scopes: ['orders:read', 'a'],
      description: 'Café\nof the shop',
      metadata: { team: 'shop' },
      allowedIps: ['192.0.2.7', '2001:db8::/32'],
    })
  })

  it('is the same row with null as without what it need not have', () => {
    const nothing = { scopes: null, description: null, metadata: null, allowed_ips: null }
    expect(read(oldRow(1, nothing))).to.deep.equal(read(oldRow(1)))
    expect(read(oldRow(1, { scopes: [], description: ' ', metadata: {} }))).to.deep.equal(read(oldRow(1)))
  })

  it('has scopes of the catalogue only, and never that of operators', () => {
    const rules = { ...RULES, catalogue: new Set(['a', 'b', 'operator']), reservedScope: 'operator' }
    const readBy = (scopes: string[]) => readRow(JSON.stringify(oldRow(1, { scopes })), rules)
    expect(readBy(['b', 'a'])).to.deep.include({ scopes: ['b', 'a'] })
    const unknown = 'is not one of the scopes that tokens can have'
    expect(readBy(['a', 'c'])).to.equal(`scopes/1 ${unknown}`)
    expect(readBy(['operator', 'a', 'a', 'c'])).to.equal(`scopes/0 ${unknown}; scopes/3 ${unknown}`)
  })

  for (const text of ['', '\n', 'null', '1', '"x"', '[]', '{']) {
    it(`is refused where it is none: ${JSON.stringify(text)}`, () => {
      expect(readRow(text, RULES)).to.equal('it is not a JSON object')
    })
  }
})
