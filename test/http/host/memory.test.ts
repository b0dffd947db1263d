import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { createTokenLedger, type TokenLedger } from '../../../src/ledger/ledger.ts'
import { apiOf } from '../../support/callers/api.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { startHost } from '../../support/processes/hostApp.ts'
import { jwtFor, PEPPERS, SECRET } from '../../support/processes/ledger.ts'

const IN_MEMORY = {
  eventStoreUrl: 'sqlite::memory:',
  readModelUrl: 'sqlite::memory:',
  jwt: { secret: SECRET },
} as const

describe('A ledger in memory', () => {
  let folder: string
  let before_: string
  beforeEach(async () => {
    before_ = process.cwd()
    folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
    process.chdir(folder)
  })
  afterEach(async () => {
    process.chdir(before_)
    await rm(folder, { recursive: true, force: true })
  })

  it('does all that one in files does', async () => {
    const host = await startHost((app, ledger) => app.use(ledger.verifyRoutes()).use(ledger.routes()))
    const api = apiOf(host.url)
    const created = await api.create({ name: 'CI', scopes: ['orders:read'] })
    expect(created.status).to.equal(201)
    const { id, token } = created.body
    expect(await api.use(token)).to.equal(200)
    await eventually(async () => expect((await api.usage(id)).body.total.requests).to.equal(1))
    expect((await api.patch(id, { name: 'CI 2' })).body.name).to.equal('CI 2')
    expect((await api.revoke(id)).status).to.equal(204)
    expect(await api.use(token)).to.equal(401)
    expect((await api.events(id)).body.data.map(({ type }) => type)).to.deep.equal([
      'TokenCreated',
      'TokenUpdated',
      'TokenRevoked',
    ])
    const { isReplaced, isLost, writable } = await host.ledger.health()
    expect([isReplaced, isLost, writable]).to.deep.equal([
      false,
      false,
      { eventStore: true, readModel: true },
    ])
    await host.close()
    expect(host.lines.filter(({ level }) => level === 'warn' || level === 'error')).to.deep.equal([])
    expect(await readdir(folder)).to.deep.equal([])
  })

  it('needs no keys of tokens, and leaves nothing on the disk for them', async () => {
    const ledger = await createTokenLedger(IN_MEMORY)
    expect(await ledger.verify(jwtFor('acct_1'))).to.deep.include({ kind: 'jwt', accountId: 'acct_1' })
    await ledger.close()
    expect(await readdir(folder)).to.deep.equal([])
  })

  it('is separate from any other in the process', async () => {
    const [one, other] = await Promise.all(
      [1, 2].map(() => startHost((app, ledger) => app.use(ledger.routes()))),
    )
    if (!one || !other) throw new Error('two hosts were started')
    const { body } = await apiOf(one.url).create({ name: 'of the first' })
    expect((await apiOf(one.url).list()).body.data).to.have.lengthOf(1)
    expect((await apiOf(other.url).list()).body.data).to.deep.equal([])
    expect(await one.ledger.verify(body.token)).to.include({ tokenId: body.id })
    expect(await other.ledger.verify(body.token)).to.equal(null)
    await Promise.all([one.close(), other.close()])
  })

  it('closes once, and everybody who asks for it waits until it has', async () => {
    const host = await startHost((app, ledger) => app.use(ledger.routes()))
    const { body } = await apiOf(host.url).create({ name: 'CI' })
    const use = host.ledger.verify(body.token)
    const ended: string[] = []
    const first = host.ledger.close().then(() => ended.push('first'))
    await host.ledger.close()
    ended.push('second')
    await Promise.all([first, use])
    expect(ended).to.deep.equal(['first', 'second'])
    await host.close()
    expect(host.lines.filter(({ level }) => level === 'warn' || level === 'error')).to.deep.equal([])
  })

  it('starts and stops in tens of milliseconds', async () => {
    const cycle = async (): Promise<number> => {
      const started = performance.now()
      const ledger: TokenLedger = await createTokenLedger({ ...IN_MEMORY, peppers: PEPPERS })
      await ledger.close()
      return performance.now() - started
    }
    await cycle()
    const times: number[] = []
    for (let i = 0; i < 10; i++) times.push(await cycle())
    // Only the fastest one counts, which is not slowed down by other work of the machine.
    expect(Math.min(...times)).to.be.below(300)
  })
})
