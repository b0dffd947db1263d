import { expect } from 'chai'
import { createIssuerKeys } from '../../../../src/adapters/jwt/issuerKeys.ts'
import { StoreUnavailableError } from '../../../../src/application/ports/errors.ts'
import { gate } from '../../../support/suite/eventually.ts'
import {
  DISCOVERY,
  KEYS,
  sending,
  signingKey,
  startIssuer,
  type TestIssuer,
} from '../../../support/processes/issuer.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
type IssuerKeys = ReturnType<typeof createIssuerKeys>
const HOUR = 60 * MINUTE

describe('The keys of an issuer', () => {
  const [a, b] = [signingKey('a'), signingKey('b', 'rsa')]
  let issuer: TestIssuer
  let clock: number
  let lines: string[]

  const pass = (ms: number): void => {
    clock += ms
  }
  const keysOf = (jwksUrl: string | undefined = issuer.url + KEYS): IssuerKeys => {
    const write = ({ err }: { err?: unknown }): void => {
      lines.push(err instanceof Error ? err.message : '')
    }
    return createIssuerKeys(
      { issuer: issuer.url, jwksUrl },
      {
        log: { info: write, warn: write },
        now: () => ({ monotonic: clock, wall: clock }),
      },
    )
  }
  const find = async (keys: IssuerKeys, kid: string | undefined, alg = 'ES256') =>
    (await keys.find({ ...(kid === undefined ? {} : { kid }), alg }))?.algorithm ?? null
  /** Whether nobody can say, since the issuer does not answer. */
  const isUnknown = async (keys: IssuerKeys, kid: string): Promise<boolean> =>
    find(keys, kid).then(
      () => false,
      (error: unknown) => error instanceof StoreUnavailableError,
    )

  beforeEach(async () => {
    issuer = await startIssuer()
    issuer.publish(a)
    clock = 0
    lines = []
  })
  afterEach(() => issuer.close())

  it('are asked for at the first need, and not again for ten minutes', async () => {
    const keys = keysOf()
    expect(issuer.asked).to.deep.equal([])
    expect(await find(keys, 'a')).to.equal('ES256')
    pass(10 * MINUTE - 1)
    expect(await find(keys, 'a')).to.equal('ES256')
    expect(issuer.asked).to.deep.equal([KEYS])
  })

  it('that the issuer has withdrawn are good for ten minutes, however long nobody has asked', async () => {
    const keys = keysOf()
    await keys.ask()
    issuer.publish(b)
    pass(21 * MINUTE)
    expect(await find(keys, 'a')).to.equal(null)
    expect(await find(keys, 'b', 'RS256')).to.equal('RS256')
    expect(issuer.asked).to.have.lengthOf(2)
  })

  it('are asked for once after ten minutes, by all requests together, which wait for the answer', async () => {
    const keys = keysOf()
    await keys.ask()
    const answered = gate()
    issuer.at[KEYS] = (response) => void answered.opened.then(() => sending({ keys: [b.jwk] })(response))
    pass(10 * MINUTE)
    const found = Promise.all(Array.from({ length: 100 }, () => find(keys, 'a')))
    answered.open()
    expect(new Set(await found)).to.deep.equal(new Set([null]))
    expect(issuer.asked).to.have.lengthOf(2)
  })

  it('that are older go on while the issuer is away, and one request in 30 s waits for it', async () => {
    const keys = keysOf()
    await keys.ask()
    let failed = gate()
    issuer.at[KEYS] = (response) => void failed.opened.then(() => sending('', 500)(response))
    pass(10 * MINUTE)
    const first = find(keys, 'a')
    failed.open()
    expect(await first).to.equal('ES256')
    for (const round of [1, 2]) {
      pass(30 * SECOND - 1)
      expect(keys.find({ kid: 'a', alg: 'ES256' }), 'before the pause is over').not.to.be.instanceOf(Promise)
      pass(1)
      failed = gate()
      const waiting = find(keys, 'a')
      expect(keys.find({ kid: 'a', alg: 'ES256' }), 'beside one that waits').not.to.be.instanceOf(Promise)
      failed.open()
      expect(await waiting).to.equal('ES256')
      expect(issuer.asked).to.have.lengthOf(2 + round)
    }
    pass(30 * SECOND)
    issuer.publish(b)
    expect(await find(keys, 'a'), 'it is there again').to.equal(null)
  })

  it('are found by discovery, once as long as they can be read', async () => {
    const keys = createIssuerKeys({ issuer: issuer.url }, { log: { info() {}, warn() {} } })
    expect(await find(keys, 'a')).to.equal('ES256')
    await keys.ask()
    expect(issuer.asked).to.deep.equal([DISCOVERY, KEYS, KEYS])
    issuer.at['/moved'] = sending({ keys: [b.jwk] })
    delete issuer.at[KEYS]
    issuer.at[DISCOVERY] = sending({ issuer: issuer.url, jwks_uri: `${issuer.url}/moved` })
    await keys.ask()
    await keys.ask()
    expect(await find(keys, 'b', 'RS256')).to.equal('RS256')
  })

  it('are asked for once in 30 s for all JWTs whose key is not known, and only those wait', async () => {
    const keys = keysOf()
    await keys.ask()
    pass(30 * SECOND)
    issuer.publish(a, b)
    const found = await Promise.all(
      Array.from({ length: 100 }, (_, i) => find(keys, i === 0 ? 'b' : `x${i}`)),
    )
    expect(found.filter((one) => one !== null)).to.deep.equal(['RS256'])
    pass(30 * SECOND - 1)
    expect(await find(keys, 'y')).to.equal(null)
    expect(issuer.asked).to.have.lengthOf(2)
    pass(1)
    expect(await find(keys, 'y')).to.equal(null)
    expect(issuer.asked).to.have.lengthOf(3)
  })

  it('are no reason to ask for a JWT that no published key can have signed', async () => {
    const keys = keysOf()
    for (const alg of ['HS256', 'none', 'RS512', 'PS256', 'EdDSA'])
      expect(await find(keys, 'a', alg)).to.equal(null)
    expect(issuer.asked).to.deep.equal([])
  })

  it('go on for a day while the issuer is away, and then nobody can say', async () => {
    const keys = keysOf()
    await keys.ask()
    delete issuer.at[KEYS]
    pass(24 * HOUR - 1)
    expect(await find(keys, 'a')).to.equal('ES256')
    await keys.ask()
    expect(await isUnknown(keys, 'b'), 'a key that may be new').to.equal(true)
    expect(lines[0]).to.contain('status 404')
    pass(1)
    expect(await isUnknown(keys, 'a')).to.equal(true)
  })

  it('are asked for more and more rarely as long as there are none at all', async () => {
    delete issuer.at[KEYS]
    const keys = keysOf()
    const times: number[] = []
    for (let second = 0; second < 100; second++) {
      const before = issuer.asked.length
      expect(await isUnknown(keys, 'a')).to.equal(true)
      if (issuer.asked.length > before) times.push(second)
      pass(SECOND)
    }
    expect(times).to.deep.equal([0, 1, 3, 7, 15, 31, 61, 91])
    issuer.publish(a)
    pass(30 * SECOND)
    expect(await find(keys, 'a')).to.equal('ES256')
  })

  it('are replaced by another key of the same id, and the earlier one is forgotten', async () => {
    const keys = keysOf()
    const before = await keys.find({ kid: 'a', alg: 'ES256' })
    issuer.publish(signingKey('a'))
    await keys.ask()
    const after = await keys.find({ kid: 'a', alg: 'ES256' })
    expect(after?.key.equals(before?.key as never)).to.equal(false)
  })

  it('are none of those that are for something else, too weak, malformed, or named twice', async () => {
    const { n: _, ...withoutModulus } = b.jwk
    issuer.at[KEYS] = sending({
      keys: [
        signingKey('encrypts', 'rsa', { use: 'enc', alg: 'RSA-OAEP' }).jwk,
        signingKey('ps', 'rsa', { alg: 'PS256' }).jwk,
        { kty: 'oct', kid: 'secret', k: 'c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA', alg: 'HS256' },
        { ...withoutModulus, kid: 'malformed' },
        { ...a.jwk, kid: 7 },
        { ...a.jwk, kid: 'twice' },
        { ...b.jwk, kid: 'twice' },
        null,
        'text',
        a.jwk,
        b.jwk,
      ],
    })
    const keys = keysOf()
    for (const kid of ['encrypts', 'ps', 'secret', 'malformed', 'twice'])
      expect(await find(keys, kid, 'RS256'), kid).to.equal(null)
    expect(await find(keys, 'a')).to.equal('ES256')
    expect(await find(keys, 'b', 'RS256')).to.equal('RS256')
  })

  it('need no id in a JWT where one key alone fits its algorithm', async () => {
    const keys = keysOf()
    issuer.publish(signingKey(), b, signingKey('c', 'rsa'))
    expect(await find(keys, undefined, 'ES256')).to.equal('ES256')
    expect(await find(keys, undefined, 'RS256'), 'two keys fit').to.equal(null)
  })

  const unusable: Record<string, (of: TestIssuer) => void> = {
    'is no JSON': ({ at }) => (at[KEYS] = sending('<html>')),
    'is no key set': ({ at }) => (at[KEYS] = sending({ keys: 'none' })),
    'is null': ({ at }) => (at[KEYS] = sending('null')),
    'has no key that can be used': ({ at }) => (at[KEYS] = sending({ keys: [] })),
    'is huge': ({ at }) => (at[KEYS] = sending({ keys: [a.jwk], more: 'x'.repeat(64 * 1024) })),
    'is a redirect': ({ at }) => {
      at['/elsewhere'] = sending({ keys: [b.jwk] })
      at[KEYS] = sending('', 302, { Location: '/elsewhere' })
    },
    'is an error': ({ at }) => (at[KEYS] = sending({ keys: [b.jwk] }, 500)),
    'ends early': ({ at }) =>
      (at[KEYS] = (response) => {
        response.writeHead(200, { 'Content-Length': '1000' })
        response.write('{')
        setImmediate(() => response.destroy())
      }),
  }
  for (const [what, change] of Object.entries(unusable)) {
    it(`stay as they were where the document ${what}, and the log says why`, async () => {
      const keys = keysOf()
      await keys.ask()
      change(issuer)
      await keys.ask()
      expect(await find(keys, 'a')).to.equal('ES256')
      expect(lines).to.have.lengthOf(1)
      expect(issuer.asked).not.to.contain('/elsewhere')
    })
  }

  const misled: Record<string, object> = {
    'another issuer': { issuer: 'https://other.example', jwks_uri: 'https://other.example/keys' },
    'the issuer with another slash': { issuer: 'ISSUER/', jwks_uri: 'ISSUER/certs' },
    'no place of keys': { issuer: 'ISSUER' },
    'keys without TLS': { issuer: 'ISSUER', jwks_uri: 'http://login.example/keys' },
    'a file': { issuer: 'ISSUER', jwks_uri: 'file:///etc/passwd' },
  }
  for (const [what, document] of Object.entries(misled)) {
    it(`are not taken where discovery names ${what}`, async () => {
      issuer.at[DISCOVERY] = sending(JSON.stringify(document).replaceAll('ISSUER', issuer.url))
      const keys = createIssuerKeys({ issuer: issuer.url }, { log: { info() {}, warn() {} } })
      expect(await isUnknown(keys, 'a')).to.equal(true)
      expect(issuer.asked).to.deep.equal([DISCOVERY])
    })
  }

  it('are not waited for longer than five seconds', async function () {
    this.timeout(60_000)
    issuer.at[KEYS] = () => {}
    const keys = keysOf()
    expect(await isUnknown(keys, 'a')).to.equal(true)
    expect(lines[0]).to.contain('no answer within 5000 ms')
  })
})
