import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { createAuthenticator } from '../../src/application/authentication/authenticate.ts'
import { formatToken, isToken } from '../../src/domain/credential.ts'
import { callerOf, tokenHeader } from '../support/callers/caller.ts'
import { startLedger, type TestService } from '../support/processes/ledger.ts'
import { projectRoot } from '../support/project/package.ts'

interface Vectors {
  valid: { prefix: string; bytes_hex: string; token: string }[]
  invalid: { why: string; token: string }[]
}
const { valid, invalid } = JSON.parse(
  readFileSync(`${projectRoot}test/golden/token-vectors.json`, 'utf8'),
) as Vectors

describe('The golden tokens', () => {
  let service: TestService
  before(async () => {
    service = await startLedger()
  })
  after(() => service.close())

  /** How many credentials were checked, by outcome. Only the store can say `unknown`. */
  const counted = async (outcome: string) => {
    const { text } = await callerOf(service.url).get('/metrics')
    const line = `tokenledger_authentications_total\\{kind="token",outcome="${outcome}"\\} (\\d+)`
    return Number(new RegExp(line).exec(text)?.[1] ?? 0)
  }
  const statusOf = async (token: string) =>
    (await callerOf(service.url).get('/auth/verify', tokenHeader(token))).status

  it('are there', () => {
    expect(valid.length).to.be.above(10)
    expect(invalid.length).to.be.above(10)
  })

  for (const { prefix, bytes_hex: hex, token } of valid) {
    it(`${token} is what ${prefix} and its bytes make`, async () => {
      expect(formatToken(prefix, Buffer.from(hex, 'hex'))).to.equal(token)
      expect(isToken(prefix, token)).to.be.true
      expect(isToken('other', token)).to.be.false
      if (prefix !== 'tkl') return
      const before = await counted('unknown')
      expect(await statusOf(token)).to.equal(401)
      expect(await counted('unknown'), 'well-formed: the store was asked').to.equal(before + 1)
    })
  }

  for (const { why, token } of invalid) {
    it(`${JSON.stringify(token)} is none: ${why}`, async () => {
      expect(isToken('tkl', token)).to.be.false
      expect(await decisionWithoutStore(token)).to.deep.equal({ refused: 'malformed', expired: false })
    })

    // HTTP cannot carry these tokens, or trims them on their way.
    if (!/^[\x21-\x7e]*$/.test(token)) continue
    it(`${JSON.stringify(token)} is 401 in a request, with no look-up`, async () => {
      const before = await counted('malformed')
      expect(await statusOf(token)).to.equal(401)
      expect(await counted('malformed')).to.equal(before + 1)
    })
  }
})

/** The decision about a token for which the store must not be asked. */
async function decisionWithoutStore(token: string): Promise<unknown> {
  const asked = () => {
    throw new Error('the store was asked')
  }
  const authenticator = createAuthenticator({
    index: { held: () => null, find: asked, isCurrent: asked },
    jwt: { verify: asked },
    resolveAccount: asked,
    operatorScope: null,
    clock: Date.now,
    prefix: 'tkl',
    telemetry: {
      log: { debug() {}, info() {}, warn() {}, error() {} },
      authenticated() {},
      appended() {},
      projected() {},
      usageLost() {},
      damaged() {},
    },
  })
  return authenticator.authenticate({ kind: 'token', value: token }, { ip: null })
}
