import { expect } from 'chai'
import { parseBlocks } from '../../../../src/domain/address.ts'
import type { Authenticator, Decision } from '../../../../src/application/authentication/authenticate.ts'
import type { TokenRecord } from '../../../../src/application/authentication/records.ts'
import {
  type Attempt,
  createCountedAuthentication,
} from '../../../../src/application/usage/countedAuthentication.ts'
import type { RetiredUse } from '../../../../src/application/usage/retiredUses.ts'
import { rejection } from '../../../contract/fixtures.ts'
import type { Use } from '../../../../src/application/usage/window.ts'

const record = {
  tokenId: 'a token',
  secret: 2,
  allowedIps: null,
  isUnused: false,
} as Partial<TokenRecord> as TokenRecord
const principal = { kind: 'token' as const, accountId: 'acct_1', scopes: [] }
const accepted: Decision = { principal, account: {}, record, ceiling: null }
const refused: Decision = { refused: 'unknown', expired: false }

function lab(decision: Decision, { strict = false, left = 1, store = async () => {} } = {}) {
  const steps: string[] = []
  const retired: RetiredUse[] = []
  const told = (verb: string) => (use: Use) =>
    void steps.push(`${verb} ${use.method} ${use.route} ${use.outcome}`)
  const authenticator: Pick<Authenticator, 'authenticate'> = {
    authenticate(_credential, _source, beforeServing) {
      if (!beforeServing || 'refused' in decision) return decision
      return beforeServing(record).then(() => decision)
    },
  }
  const authenticate = createCountedAuthentication({
    authenticator,
    recorder: {
      record: told('counted'),
      async store(use) {
        await store()
        told('stored')(use)
      },
      refused: (use) => void retired.push(use),
    },
    failures: {
      count(caller, once) {
        steps.push(`failure of ${caller}${once === undefined ? '' : ', once'}`)
        return { exceeded: --left < 0 }
      },
      left: () => left,
    },
    onFirstUse: ({ tokenId, secret }) => steps.push(`first use of ${tokenId} ${secret}`),
    strict,
    now: () => 0,
  })
  const attempt: Attempt = {
    credential: { kind: 'token', value: 'a credential' },
    ip: '192.0.2.1',
    purpose: () => ({ method: 'GET', route: '/orders', userAgent: null }),
    onAccepted(count) {
      steps.push('served')
      count('2xx')
    },
    isLimited: true,
  }
  return { steps, retired, ask: (changes: Partial<Attempt> = {}) => authenticate({ ...attempt, ...changes }) }
}

describe('a credential that is authenticated and counted', () => {
  it('is counted once its outcome is known, without waiting for anything', () => {
    const { ask, steps } = lab(accepted)
    expect(ask()).to.equal(accepted)
    expect(steps).to.deep.equal(['served', 'counted GET /orders 2xx'])
  })

  it('is stored before it is served in the strict mode, and not counted again', async () => {
    const { ask, steps } = lab(accepted, { strict: true })
    expect(await ask()).to.equal(accepted)
    expect(steps).to.deep.equal(['stored GET /orders accepted'])
  })

  it('is no use where it is a JWT', () => {
    const { ask, steps } = lab({ ...accepted, record: null })
    expect(ask()).to.include({ record: null })
    expect(steps).to.deep.equal([])
  })

  it('is a failure of its address where it is refused, and beyond the limit says so', () => {
    const { ask, steps } = lab(refused)
    expect(ask()).to.deep.equal(refused)
    expect(ask()).to.deep.equal({ ...refused, over: { exceeded: true } })
    expect(ask({ ip: null })).to.have.property('over')
    expect(steps).to.deep.equal(['failure of 192.0.2.1', 'failure of 192.0.2.1', 'failure of no address'])
  })

  it('is a failure once where it has only expired', () => {
    const { ask, steps } = lab({ refused: 'expired', expired: true })
    void ask()
    expect(steps).to.deep.equal(['failure of 192.0.2.1, once'])
  })

  it('is told of where a secret of its token has retired, whoever is limited, and is no use', () => {
    const decision = {
      refused: 'retired',
      expired: true,
      tokenId: 'a token',
      accountId: 'acct_1',
      secretRevision: 3,
    }
    const { ask, retired, steps } = lab(decision)
    void ask()
    void ask({ isLimited: false })
    const use = {
      tokenId: 'a token',
      accountId: 'acct_1',
      secret: 3,
      at: 0,
      ip: '192.0.2.1',
      userAgent: null,
    }
    expect(retired).to.deep.equal([use, use])
    expect(steps).to.deep.equal(['failure of 192.0.2.1, once'])
  })

  it('is nobody’s failure where nobody is to be limited', () => {
    const { ask, steps } = lab(refused)
    expect(ask({ isLimited: false })).to.equal(refused)
    expect(steps).to.deep.equal([])
  })

  it('is the first use of a newer secret only at an address that the token may be used from', () => {
    const isUnused = { ...record, isUnused: true, allowedIps: parseBlocks('192.0.2.0/24') }
    const { ask, steps } = lab({ ...accepted, record: isUnused })
    void ask({ ip: '198.51.100.1' })
    void ask({ ip: null })
    expect(steps).not.to.include('first use of a token 2')
    void ask()
    expect(steps).to.include('first use of a token 2')
  })

  it('is the first use of a newer secret in the strict mode only once it is stored', async () => {
    const decision = { ...accepted, record: { ...record, isUnused: true } }
    const { ask, steps } = lab(decision, { strict: true })
    await ask()
    expect(steps).to.deep.equal(['stored GET /orders accepted', 'first use of a token 2'])
    const failing = lab(decision, { strict: true, store: () => Promise.reject(new Error('store is down')) })
    expect(await rejection(Promise.resolve(failing.ask()))).to.have.property('message', 'store is down')
    expect(failing.steps).to.deep.equal([])
  })

  it('is beyond the limit where nobody has checked it', () => {
    const { ask } = lab({ refused: 'limited', expired: false })
    expect(ask()).to.have.property('over')
  })
})
