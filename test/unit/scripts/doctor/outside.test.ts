import { expect } from 'chai'
import {
  assessWebhooks,
  checkIssuer,
  checkLeakKeys,
  checkWebhooks,
} from '../../../../scripts/doctor/outsideChecks.ts'
import { readSettings } from '../../../../src/settings/settings.ts'
import { KEYS, signingKey, startIssuer, type TestIssuer } from '../../../support/processes/issuer.ts'

describe('What doctor makes of other servers:', () => {
  let server: TestIssuer
  beforeEach(async () => {
    server = await startIssuer()
  })
  afterEach(() => server.close())

  it('an issuer that has keys, that has none, and that is down; of keys in the settings nothing', async () => {
    const check = (env: Record<string, string>) =>
      checkIssuer(readSettings({ JWT_ISSUER: server.url, ...env }))
    server.publish(signingKey('a'))
    for (const env of [{ JWT_JWKS_URL: '' }, { JWT_JWKS_URL: server.url + KEYS }])
      expect(await check(env)).to.include({ name: 'keys of the issuer', status: 'ok' })
    delete server.at[KEYS]
    const without = await check({})
    expect(without?.status).to.equal('fail')
    expect(without?.detail).to.contain('no keys')
    expect(without?.remedy).to.contain('503')
    await server.close()
    expect((await check({}))?.status).to.equal('fail')
    expect(await check({ JWT_SECRET: 's'.repeat(32) })).to.equal(null)
    expect(await checkIssuer(readSettings({}))).to.equal(null)
    server = await startIssuer()
  })

  it('keys of leak reports, where somebody may report leaks', async () => {
    const env = { LEAK_KEYS_URL: `${server.url}/nowhere` }
    expect(await checkLeakKeys(readSettings(env))).to.equal(null)
    const check = await checkLeakKeys(readSettings({ ...env, LEAK_ACTION: 'notify' }))
    expect(check).to.include({ name: 'keys of leak reports', status: 'fail' })
  })

  it('webhooks that were stopped, that fail, and of which none waits', async () => {
    const token = { tokenId: 't', revision: 0, at: '2026-01-01T00:00:00.000Z', waiting: 7, since: null }
    const state = { position: '1', stopped: null, lastFailure: null, givenUp: 0, aside: [] }
    const idle = { ...state, waiting: 0, oldest: null }
    expect(await checkWebhooks(readSettings({}))).to.equal(null)
    expect(assessWebhooks(null).status).to.equal('ok')
    expect(assessWebhooks(idle)).to.include({ status: 'ok', detail: 'nothing waits' })
    const aside = [{ ...token, attempts: 2, nextAt: token.at, reason: 'status 500' }]
    const lastFailure = { at: token.at, reason: 'status 500' }
    const failing = { ...state, aside, lastFailure, waiting: 7, oldest: token.at }
    expect(assessWebhooks(failing)).to.include({
      status: 'warn',
      detail: `7 events waiting, the oldest since ${token.at}; 1 token put aside, last failure: status 500`,
    })
    const stopped = assessWebhooks({ ...failing, stopped: { at: token.at, target: 'x' } })
    expect(stopped.status).to.equal('fail')
    expect(stopped.detail).to.contain('410').and.to.contain('7 events waiting')
    expect(stopped.remedy).to.contain('tokenledger webhooks resume')
  })
})
