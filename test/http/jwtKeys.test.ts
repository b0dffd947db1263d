import { createHmac, createPublicKey, sign } from 'node:crypto'
import { expect } from 'chai'
import jwt from 'jsonwebtoken'
import { type JwtOptions, SettingsError } from '../../src/index.ts'
import {
  assertRefused,
  encode,
  forge,
  good,
  HS256,
  p256,
  pair,
  rsa,
  statusOf,
  withLedger,
} from '../support/callers/jws.ts'
import { jwtFor, SECRET, startLedger } from '../support/processes/ledger.ts'

describe('The key of a JWT', () => {
  for (const [name, algorithm, keys] of [
    ['RSA', 'RS256', rsa],
    ['P-256', 'ES256', p256],
  ] as const) {
    it(`is verified with an ${name} key by ${algorithm} alone, and never with that key as a secret`, async () => {
      await withLedger({ publicKey: keys.publicKey }, async (on) => {
        expect(await statusOf(on, jwt.sign(good(), keys.privateKey, { algorithm }))).to.equal(200)
        const token = signed(algorithm, keys.privateKey)
        for (const last of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0189-_') {
          // Decoders ignore the spare bits of the last character, but a token must not have a second spelling.
          if (token.endsWith(last)) continue
          expect(await on.ledger.verify(token.slice(0, -1) + last), `ending with ${last}`).to.equal(null)
        }
        const der = createPublicKey(keys.publicKey).export({ type: 'spki', format: 'der' })
        const input = `${encode(HS256)}.${encode(good())}`
        await assertRefused(on, {
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
        })
      })
    })
  }

  it('names its key by `kid` where there are several, each with its own algorithm', async () => {
    const keys = { rsa: rsa.publicKey, ec: p256.publicKey, hmac: SECRET }
    await withLedger({ keys }, async (on) => {
      const by = (keyid: string, algorithm: jwt.Algorithm, key: string) =>
        jwt.sign(good(), key, { algorithm, keyid })
      expect(await statusOf(on, by('rsa', 'RS256', rsa.privateKey))).to.equal(200)
      expect(await statusOf(on, by('ec', 'ES256', p256.privateKey))).to.equal(200)
      expect(await statusOf(on, by('hmac', 'HS256', SECRET))).to.equal(200)
      await assertRefused(on, {
        none: jwtFor('a'),
        unknown: by('other', 'HS256', SECRET),
        another: by('rsa', 'ES256', p256.privateKey),
        confused: forge({ ...HS256, kid: 'rsa' }, good(), rsa.publicKey),
        inherited: forge({ ...HS256, kid: 'constructor' }, good()),
        number: forge({ ...HS256, kid: 1 }, good()),
        list: forge({ ...HS256, kid: ['hmac'] }, good()),
        object: forge({ ...HS256, kid: { toString: 'hmac' } }, good()),
      })
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
      expect(await statusOf(on, jwtFor('a', {}, 'ü'.repeat(16))), '32 bytes are enough').to.equal(200)
    })
  })
})

const signed = (algorithm: jwt.Algorithm, key: string): string => jwt.sign(good(), key, { algorithm })

/** An ES256 signature in DER. JWS requires the two numbers side by side. */
function derSigned(): string {
  const input = `${encode({ alg: 'ES256' })}.${encode(good())}`
  return `${input}.${sign('sha256', Buffer.from(input), p256.privateKey).toString('base64url')}`
}
