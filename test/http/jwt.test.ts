import { readFile } from 'node:fs/promises'
import { expect } from 'chai'
import jwt from 'jsonwebtoken'
import { bearer, callerOf, createToken, TOKENS } from '../support/callers/caller.ts'
import {
  assertRefused,
  encode,
  exp,
  forge,
  good,
  HS256,
  p256,
  rsa,
  statusOf,
  withLedger,
} from '../support/callers/jws.ts'
import { jwtFor, SECRET, startLedger, type TestService } from '../support/processes/ledger.ts'

describe('A JWT', () => {
  let service: TestService
  before(async () => {
    service = await startLedger()
  })
  after(() => service.close())

  const status = (token: string) => statusOf(service, token)
  const refused = (tokens: Record<string, string>) => assertRefused(service, tokens)

  it('made by hand with the right key is good: what follows is refused for its one flaw', async () => {
    expect(await status(forge(HS256, good()))).to.equal(200)
    expect(
      await status(forge({ alg: 'HS256' }, { ...good(), nbf: 1, iat: 1, jti: 'x', more: { a: [] } })),
    ).to.equal(200)
  })

  it('without a signature, or with another algorithm, is refused', async () => {
    const payload = encode(good())
    await refused({
      none: `${encode({ alg: 'none' })}.${payload}.`,
      nOnE: `${encode({ alg: 'nOnE' })}.${payload}.`,
      noneSigned: forge({ alg: 'none' }, good()),
      hs384: jwt.sign(good(), SECRET, { algorithm: 'HS384' }),
      hs512: jwt.sign(good(), SECRET, { algorithm: 'HS512' }),
      rs256: jwt.sign(good(), rsa.privateKey, { algorithm: 'RS256' }),
      es256: jwt.sign(good(), p256.privateKey, { algorithm: 'ES256' }),
      lowerCase: forge({ alg: 'hs256' }, good()),
      noAlg: forge({ typ: 'JWT' }, good()),
      algList: forge({ alg: ['HS256'] }, good()),
      unsigned: `${encode(HS256)}.${payload}.`,
      twoSegments: `${encode(HS256)}.${payload}`,
    })
  })

  it('that names a token as its subject is refused', async () => {
    const { token } = await createToken(callerOf(service.url, bearer(jwtFor('acct_1'))))
    await refused({
      is: forge(HS256, { ...good(), sub: token }),
      holds: forge(HS256, { ...good(), sub: `x ${token}` }),
    })
  })

  it('of another key is refused, even of one that it brings along', async () => {
    const jwk = { kty: 'oct', k: encode('mine') }
    await refused({
      other: forge(HS256, good(), 'another secret of 32 bytes or so'),
      empty: forge(HS256, good(), ''),
      jwk: forge({ ...HS256, jwk }, good(), 'mine'),
      kidPath: forge({ ...HS256, kid: '../../dev/null' }, good(), ''),
      x5u: forge(
        { ...HS256, x5u: 'http://evil.example/key', jku: 'http://evil.example/keys' },
        good(),
        'mine',
      ),
    })
  })

  it('needs an `exp` that is a number and in the future, and heeds `nbf`', async () => {
    const { sub } = good()
    await refused({
      none: forge(HS256, { sub }),
      text: forge(HS256, { sub, exp: String(exp()) }),
      null: forge(HS256, { sub, exp: null }),
      object: forge(HS256, { sub, exp: {} }),
      past: forge(HS256, { sub, exp: exp() - 7200 }),
      zero: forge(HS256, { sub, exp: 0 }),
      negative: forge(HS256, { sub, exp: -1 }),
      notYet: forge(HS256, { ...good(), nbf: exp() }),
      nbfText: forge(HS256, { ...good(), nbf: 'tomorrow' }),
    })
  })

  it('needs a `sub` that is non-empty text', async () => {
    const odd = [undefined, '', 1, null, true, [], ['acct_1'], {}, 'a\nb', 'a\u0000b', 'x'.repeat(256)]
    await refused(
      Object.fromEntries(
        odd.map((sub) => [JSON.stringify(sub) ?? 'none', forge(HS256, { sub, exp: exp() })]),
      ),
    )
    expect(await status(forge(HS256, { sub: 'x'.repeat(255), exp: exp() }))).to.equal(200)
    expect(
      await status(forge(HS256, { sub: '__proto__', exp: exp() })),
      'an account like any other',
    ).to.equal(200)
  })

  it('with a `crit` is refused, whatever it names', async () => {
    await refused({
      known: forge({ ...HS256, crit: ['exp'], exp: 1 }, good()),
      unknown: forge({ ...HS256, crit: ['x'], x: 1 }, good()),
      empty: forge({ ...HS256, crit: [] }, good()),
      text: forge({ ...HS256, crit: 'x' }, good()),
      b64: forge({ ...HS256, b64: false, crit: ['b64'] }, good()),
    })
  })

  it('whose payload is no object is refused', async () => {
    await refused({
      text: forge(HS256, 'just text'),
      json: forge(HS256, '"acct_1"'),
      array: forge(HS256, [good()]),
      number: forge(HS256, '1'),
      null: forge(HS256, 'null'),
      broken: forge(HS256, '{"sub":"acct_1"'),
      empty: forge(HS256, ''),
    })
  })

  it('changed in any one character is refused', async () => {
    const token = jwtFor('acct_1')
    const segments = token.split('.')
    for (let i = 0; i < token.length; i++) {
      const mutated = `${token.slice(0, i)}${token[i] === 'A' ? 'B' : 'A'}${token.slice(i + 1)}`
      expect(await service.ledger.verify(mutated), `at ${i}`).to.equal(null)
    }
    await refused({
      cut: token.slice(0, -1),
      longer: `${token}A`,
      fourth: `${token}.x`,
      swapped: [segments[1], segments[0], segments[2]].join('.'),
      padded: `${token}==`,
      dots: '..',
      otherPayload: [segments[0], encode({ ...good(), sub: 'acct_2' }), segments[2]].join('.'),
    })
  })

  it('that is odd all over is refused without a stir', async () => {
    await refused({
      header: `${encode('not json')}.${encode(good())}.x`,
      headerArray: forge([] as object, good()),
      deep: `${encode('['.repeat(3000) + ']'.repeat(3000))}.${encode(good())}.x`,
      deepPayload: forge(HS256, '{"a":'.repeat(1000) + '1' + '}'.repeat(1000)),
      proto: forge(HS256, '{"__proto__":{"sub":"acct_1"},"exp":9999999999}'),
      json: 'eyJ.eyJ.eyJ',
    })
  })

  it('brings its scopes in `scope`, or else in `scp`, those that are scopes', async () => {
    const { body } = await callerOf(service.url).get(
      '/auth/verify',
      bearer(forge(HS256, { ...good(), scope: 'a B  c:d' })),
    )
    expect(body.scopes).to.deep.equal(['a', 'c:d'])
    for (const claims of [{ scope: ['a', 'B', 1, 'c:d'] }, { scp: 'a c:d' }, { scp: ['a', 'c:d'] }]) {
      const { body: other } = await callerOf(service.url).get(
        '/auth/verify',
        bearer(forge(HS256, { ...good(), ...claims })),
      )
      expect(other.scopes).to.deep.equal(['a', 'c:d'])
    }
  })

  it('names its account in `sub`, or in the claim that is configured', async () => {
    await withLedger({ secret: SECRET, accountClaim: 'org' }, async (on) => {
      const { body } = await callerOf(on.url).get('/auth/verify', bearer(jwtFor('user_1', { org: 'acct_9' })))
      expect(body.account_id).to.equal('acct_9')
      await assertRefused(on, {
        none: jwtFor('user_1'),
        empty: jwtFor('user_1', { org: '' }),
        number: jwtFor('user_1', { org: 9 }),
        noSub: forge(HS256, { org: 'acct_9', exp: exp() }),
      })
    })
    await withLedger({ secret: SECRET, accountClaim: 'toString' }, (on) =>
      assertRefused(on, { inherited: jwtFor('a') }),
    )
  })

  it('of a person acts as that person, whichever account it is for', async () => {
    await withLedger({ secret: SECRET, accountClaim: 'org' }, async (on) => {
      const owner = callerOf(on.url, bearer(jwtFor('alice', { org: 'acme' })))
      const { body } = await owner.post(TOKENS, { name: 'CI' })
      expect(body.account_id).to.equal('acme')
      const bob = callerOf(on.url, bearer(jwtFor('bob', { org: 'acme' })))
      await bob.patch(`${TOKENS}/${body.id}`, { name: 'CI 2' })
      await owner.delete(`${TOKENS}/${body.id}`)
      const events = (await owner.get(`${TOKENS}/${body.id}/events`)).body.data
      expect(events.map(({ actor }) => actor)).to.deep.equal(
        ['alice', 'bob', 'alice'].map((id) => ({ kind: 'jwt', id })),
      )
    })
  })

  it('is for no account whose id a header cannot carry', async () => {
    const spaces = Array.from(' \u00a0\u1680\u2000\u2003\u200a\u2028\u2029\u202f\u205f\u3000\ufeff')
    const controls = Array.from('\t\n\v\f\r\0\u0001\u001f\u007f\u0085\u009f')
    const ids = [
      ...spaces.flatMap((space) => [`${space}acct`, `acct${space}`, space]),
      ...controls.flatMap((control) => [`${control}acct`, `acct${control}`, `ac${control}ct`]),
      'ac\ud800ct',
    ]
    const at = { exp: exp() }
    await refused(Object.fromEntries(ids.map((sub) => [JSON.stringify(sub), forge(HS256, { sub, ...at })])))
    await withLedger({ secret: SECRET, accountClaim: 'org' }, async (on) => {
      await assertRefused(
        on,
        Object.fromEntries(ids.map((org) => [JSON.stringify(org), jwtFor('alice', { org })])),
      )
      for (const org of ['Acme GmbH & Co', 'ä ö', 'a\u3000b', '🚀']) {
        const { body, headers } = await callerOf(on.url).get('/auth/verify', bearer(jwtFor('alice', { org })))
        expect(body.account_id).to.equal(org)
        expect(Buffer.from(headers.get('x-account-id') ?? '', 'latin1').toString('utf8')).to.equal(org)
      }
      // No header names the person.
      expect(await statusOf(on, jwtFor(' alice', { org: 'acme' }))).to.equal(200)
    })
  })

  it('may come from a clock that differs by some seconds, and by no more', async () => {
    const now = () => Math.floor(Date.now() / 1000)
    for (const [leewaySeconds, within, beyond] of [
      [undefined, 2, 7],
      [60, 55, 63],
      [0, null, 2],
    ] as const) {
      await withLedger({ secret: SECRET, leewaySeconds }, async (on) => {
        if (within !== null) {
          expect(await statusOf(on, forge(HS256, { sub: 'a', exp: now() - within }))).to.equal(200)
          expect(await statusOf(on, forge(HS256, { ...good(), nbf: now() + within }))).to.equal(200)
        }
        await assertRefused(on, {
          expired: forge(HS256, { sub: 'a', exp: now() - beyond }),
          notYet: forge(HS256, { ...good(), nbf: now() + beyond + 2 }),
        })
      })
    }
  })

  it('needs the issuer and the audience that are configured', async () => {
    await withLedger({ secret: SECRET, issuer: 'https://login', audience: 'tokens' }, async (on) => {
      const claims = { iss: 'https://login', aud: 'tokens' }
      expect(await statusOf(on, jwtFor('a', claims))).to.equal(200)
      expect(await statusOf(on, jwtFor('a', { ...claims, aud: ['other', 'tokens'] }))).to.equal(200)
      await assertRefused(on, {
        neither: jwtFor('a'),
        noIss: jwtFor('a', { aud: 'tokens' }),
        noAud: jwtFor('a', { iss: 'https://login' }),
        otherIss: jwtFor('a', { ...claims, iss: 'https://login/' }),
        issList: forge(HS256, { ...good(), ...claims, iss: ['https://login'] }),
        otherAud: jwtFor('a', { ...claims, aud: 'token' }),
        emptyAud: jwtFor('a', { ...claims, aud: [] }),
      })
    })
  })

  it('says in the log and the metrics which check it failed, with no word of it, and to nobody else', async () => {
    const lines: Record<string, unknown>[] = []
    const log = {
      debug() {},
      info: (fields: object) => void lines.push(fields as Record<string, unknown>),
      warn() {},
      error() {},
    }
    const jwtOptions = { secret: SECRET, issuer: 'https://login', audience: 'tokens' }
    const on = await startLedger({ jwt: jwtOptions, log })
    const [claims, sentinel] = [{ ...good(), iss: 'https://login', aud: 'tokens' }, 'sentinel']
    const { exp: _, ...noExp } = claims
    const failing: [reason: string, token: string][] = [
      ['issuer', forge(HS256, { ...claims, iss: sentinel })],
      ['issuer', forge(HS256, { ...claims, iss: undefined })],
      ['audience', forge(HS256, { ...claims, aud: sentinel })],
      ['audience', forge(HS256, { ...claims, aud: [sentinel, 'Tokens'] })],
      ['not_yet_valid', forge(HS256, { ...claims, nbf: exp() })],
      ['expired', forge(HS256, { ...claims, exp: 1 })],
      ['signature', forge(HS256, claims, 'another secret of 32 bytes or so')],
      ['signature', `${encode(HS256)}.${encode(claims)}.`],
      ['algorithm', jwt.sign(claims, SECRET, { algorithm: 'HS384' })],
      ['algorithm', jwt.sign(claims, rsa.privateKey, { algorithm: 'RS256' })],
      ['algorithm', `${encode({ alg: 'none' })}.${encode(claims)}.`],
      ['crit', forge({ ...HS256, crit: [sentinel] }, claims)],
      ['no_exp', forge(HS256, noExp)],
      ['no_subject', forge(HS256, { ...claims, sub: '' })],
      ['invalid', forge(HS256, { ...claims, nbf: sentinel })],
      ['malformed', sentinel],
    ]
    try {
      const answers = new Set<string>()
      for (const [reason, token] of failing) {
        lines.splice(0)
        const answer = await callerOf(on.url).get('/auth/verify', bearer(token))
        const { request_id: requestId, ...body } = answer.body
        answers.add(JSON.stringify([answer.status, body]))
        const [line = {}] = lines.filter((fields) => fields.requestId === requestId && 'reason' in fields)
        expect(line, token).to.include({ kind: 'jwt', reason })
        expect(JSON.stringify(lines)).not.to.contain(sentinel)
      }
      expect(answers.size, 'one answer to all').to.equal(1)
      const metrics = await on.ledger.metrics()
      expect(metrics).not.to.contain(sentinel)
      const documented = await readFile('docs/operating.md', 'utf8')
      for (const reason of new Set(failing.map(([name]) => name))) {
        expect(metrics).to.contain(`tokenledger_authentications_total{kind="jwt",outcome="${reason}"}`)
        expect(documented, 'the documents list it').to.contain(`\`${reason}\``)
      }
    } finally {
      await on.close()
    }
  })
})
