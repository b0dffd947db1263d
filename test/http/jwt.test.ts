import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { expect } from 'chai'
import jwt from 'jsonwebtoken'
import { bearer, callerOf } from '../support/caller.ts'
import { jwtFor, SECRET, startLedger, type TestService } from '../support/ledger.ts'
import { type JwtOptions, SettingsError } from '../../src/index.ts'

const rsa = pair('rsa', { modulusLength: 2048 })
const p256 = pair('ec', { namedCurve: 'P-256' })
const exp = () => Math.floor(Date.now() / 1000) + 3600
const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A JWT by hand: what no library would make, with a signature that is right. */
function forge(header: object, payload: unknown, secret = SECRET): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}
const HS256 = { alg: 'HS256', typ: 'JWT' }
const good = () => ({ sub: 'acct_1', exp: exp() })

describe('A JWT', () => {
  let service: TestService
  before(async () => {
    service = await startLedger()
  })
  after(() => service.close())

  const statusOf = async (token: string, on = service) =>
    (await callerOf(on.url).get('/auth/verify', bearer(token))).status
  async function assertRefused(tokens: Record<string, string>, on = service): Promise<void> {
    for (const [what, token] of Object.entries(tokens)) expect(await statusOf(token, on), what).to.equal(401)
  }

  it('made by hand with the right key is good: what follows is refused for its one flaw', async () => {
    expect(await statusOf(forge(HS256, good()))).to.equal(200)
    expect(
      await statusOf(forge({ alg: 'HS256' }, { ...good(), nbf: 1, iat: 1, jti: 'x', more: { a: [] } })),
    ).to.equal(200)
  })

  it('without a signature, or with another algorithm, is refused', async () => {
    const payload = encode(good())
    await assertRefused({
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

  it('of another key is refused, even of one that it brings along', async () => {
    const jwk = { kty: 'oct', k: encode('mine') }
    await assertRefused({
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
    await assertRefused({
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
    await assertRefused(
      Object.fromEntries(
        odd.map((sub) => [JSON.stringify(sub) ?? 'none', forge(HS256, { sub, exp: exp() })]),
      ),
    )
    expect(await statusOf(forge(HS256, { sub: 'x'.repeat(255), exp: exp() }))).to.equal(200)
    expect(
      await statusOf(forge(HS256, { sub: '__proto__', exp: exp() })),
      'an account like any other',
    ).to.equal(200)
  })

  it('with a `crit` is refused, whatever it names', async () => {
    await assertRefused({
      known: forge({ ...HS256, crit: ['exp'], exp: 1 }, good()),
      unknown: forge({ ...HS256, crit: ['x'], x: 1 }, good()),
      empty: forge({ ...HS256, crit: [] }, good()),
      text: forge({ ...HS256, crit: 'x' }, good()),
      b64: forge({ ...HS256, b64: false, crit: ['b64'] }, good()),
    })
  })

  it('whose payload is no object is refused', async () => {
    await assertRefused({
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
    await assertRefused({
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
    await assertRefused({
      header: `${encode('not json')}.${encode(good())}.x`,
      headerArray: forge([] as object, good()),
      deep: `${encode('['.repeat(3000) + ']'.repeat(3000))}.${encode(good())}.x`,
      deepPayload: forge(HS256, '{"a":'.repeat(1000) + '1' + '}'.repeat(1000)),
      proto: forge(HS256, '{"__proto__":{"sub":"acct_1"},"exp":9999999999}'),
      json: 'eyJ.eyJ.eyJ',
    })
  })

  it('brings its scopes in `scope`, those that are scopes', async () => {
    const { body } = await callerOf(service.url).get(
      '/auth/verify',
      bearer(forge(HS256, { ...good(), scope: 'a B  c:d' })),
    )
    expect(body.scopes).to.deep.equal(['a', 'c:d'])
    const odd = await callerOf(service.url).get(
      '/auth/verify',
      bearer(forge(HS256, { ...good(), scope: ['a'] })),
    )
    expect(odd.body.scopes).to.deep.equal([])
  })

  it('names its account in `sub`, or in the claim that is configured', async () => {
    await withLedger({ secret: SECRET, accountClaim: 'org' }, async (on) => {
      const { body } = await callerOf(on.url).get('/auth/verify', bearer(jwtFor('user_1', { org: 'acct_9' })))
      expect(body.account_id).to.equal('acct_9')
      await assertRefused(
        {
          none: jwtFor('user_1'),
          empty: jwtFor('user_1', { org: '' }),
          number: jwtFor('user_1', { org: 9 }),
          noSub: forge(HS256, { org: 'acct_9', exp: exp() }),
        },
        on,
      )
    })
    await withLedger({ secret: SECRET, accountClaim: 'toString' }, (on) =>
      assertRefused({ inherited: jwtFor('a') }, on),
    )
  })

  it('needs the issuer and the audience that are configured', async () => {
    await withLedger({ secret: SECRET, issuer: 'https://login', audience: 'tokens' }, async (on) => {
      const claims = { iss: 'https://login', aud: 'tokens' }
      expect(await statusOf(jwtFor('a', claims), on)).to.equal(200)
      expect(await statusOf(jwtFor('a', { ...claims, aud: ['other', 'tokens'] }), on)).to.equal(200)
      await assertRefused(
        {
          neither: jwtFor('a'),
          noIss: jwtFor('a', { aud: 'tokens' }),
          noAud: jwtFor('a', { iss: 'https://login' }),
          otherIss: jwtFor('a', { ...claims, iss: 'https://login/' }),
          issList: forge(HS256, { ...good(), ...claims, iss: ['https://login'] }),
          otherAud: jwtFor('a', { ...claims, aud: 'token' }),
          emptyAud: jwtFor('a', { ...claims, aud: [] }),
        },
        on,
      )
    })
  })

  for (const [name, algorithm, keys] of [
    ['RSA', 'RS256', rsa],
    ['P-256', 'ES256', p256],
  ] as const) {
    it(`is verified with an ${name} key by ${algorithm} alone, and never with that key as a secret`, async () => {
      await withLedger({ publicKey: keys.publicKey }, async (on) => {
        expect(await statusOf(jwt.sign(good(), keys.privateKey, { algorithm }), on)).to.equal(200)
        const token = signed(algorithm, keys.privateKey)
        for (const last of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0189-_') {
          // Decoders ignore the spare bits of the last character: a token must not have a second spelling for it.
          if (token.endsWith(last)) continue
          expect(await on.ledger.verify(token.slice(0, -1) + last), `ending with ${last}`).to.equal(null)
        }
        const der = createPublicKey(keys.publicKey).export({ type: 'spki', format: 'der' })
        const input = `${encode(HS256)}.${encode(good())}`
        await assertRefused(
          {
            pemAsSecret: forge(HS256, good(), keys.publicKey),
            trimmedPem: forge(HS256, good(), keys.publicKey.trim()),
            derAsSecret: `${input}.${createHmac('sha256', der).update(input).digest('base64url')}`,
            none: `${encode({ alg: 'none' })}.${encode(good())}.`,
            ps256: signed('PS256', rsa.privateKey),
            rs512: signed('RS512', rsa.privateKey),
            otherKind: signed(
              algorithm === 'RS256' ? 'ES256' : 'RS256',
              (keys === rsa ? p256 : rsa).privateKey,
            ),
            derSignature: derSigned(),
          },
          on,
        )
      })
    })
  }

  it('names its key by `kid` where there are several, each with its own algorithm', async () => {
    const keys = { rsa: rsa.publicKey, ec: p256.publicKey, hmac: SECRET }
    await withLedger({ keys }, async (on) => {
      const by = (keyid: string, algorithm: jwt.Algorithm, key: string) =>
        jwt.sign(good(), key, { algorithm, keyid })
      expect(await statusOf(by('rsa', 'RS256', rsa.privateKey), on)).to.equal(200)
      expect(await statusOf(by('ec', 'ES256', p256.privateKey), on)).to.equal(200)
      expect(await statusOf(by('hmac', 'HS256', SECRET), on)).to.equal(200)
      await assertRefused(
        {
          none: jwtFor('a'),
          unknown: by('other', 'HS256', SECRET),
          another: by('rsa', 'ES256', p256.privateKey),
          confused: forge({ ...HS256, kid: 'rsa' }, good(), rsa.publicKey),
          inherited: forge({ ...HS256, kid: 'constructor' }, good()),
          number: forge({ ...HS256, kid: 1 }, good()),
          list: forge({ ...HS256, kid: ['hmac'] }, good()),
          object: forge({ ...HS256, kid: { toString: 'hmac' } }, good()),
        },
        on,
      )
    })
  })

  it('has keys that are fit for it: others stop the start, and are not shown', async () => {
    const bad: Record<string, JwtOptions> = {
      ed25519: { publicKey: pair('ed25519').publicKey },
      p384: { publicKey: pair('ec', { namedCurve: 'P-384' }).publicKey },
      secp256k1: { publicKey: pair('ec', { namedCurve: 'secp256k1' }).publicKey },
      shortRsa: { publicKey: pair('rsa', { modulusLength: 1024 }).publicKey },
      private: { publicKey: rsa.privateKey },
      noPem: { publicKey: 'not a key at all' },
      shortSecret: { secret: 'x'.repeat(31) },
      emptySecret: { secret: '' },
      noKeys: { keys: {} },
      oneOfMany: { keys: { a: SECRET, b: 'short' } },
    }
    for (const [what, options] of Object.entries(bad)) {
      const error = await startLedger({ jwt: options }).then(
        async (started) => {
          await started.close()
          throw new Error(`${what} was taken`)
        },
        (reason: unknown) => reason,
      )
      expect(error, what).to.be.instanceOf(SettingsError)
      expect((error as Error).message, what).not.to.match(/PRIVATE|BEGIN|xxxx|not a key|short$/)
    }
    await withLedger({ secret: 'ü'.repeat(16) }, async (on) => {
      expect(await statusOf(jwtFor('a', {}, 'ü'.repeat(16)), on), '32 bytes are enough').to.equal(200)
    })
  })
})

async function withLedger(options: JwtOptions, test: (service: TestService) => Promise<void>): Promise<void> {
  const service = await startLedger({ jwt: options })
  try {
    await test(service)
  } finally {
    await service.close()
  }
}

const signed = (algorithm: jwt.Algorithm, key: string): string => jwt.sign(good(), key, { algorithm })

/** ES256 with the signature in DER: JWS wants the two numbers side by side. */
function derSigned(): string {
  const input = `${encode({ alg: 'ES256' })}.${encode(good())}`
  return `${input}.${sign('sha256', Buffer.from(input), p256.privateKey).toString('base64url')}`
}

type KeyPair = { publicKey: string; privateKey: string }
function pair(type: 'rsa', options: { modulusLength: number }): KeyPair
function pair(type: 'ec', options: { namedCurve: string }): KeyPair
function pair(type: 'ed25519'): KeyPair
function pair(type: 'rsa' | 'ec' | 'ed25519', options: object = {}): KeyPair {
  return generateKeyPairSync(type as 'rsa', {
    modulusLength: 2048,
    ...options,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
}
