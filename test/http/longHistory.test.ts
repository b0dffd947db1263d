import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { growHistory } from '../support/events/longLife.ts'
import { longestTurn } from '../support/suite/loop.ts'

const MOST = 10_000
const LONGEST_MS = 20

describe('A token whose stream is full', () => {
  let folder: string
  let service: TestService
  let owner: Api
  let token: string
  let path: string

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
    const first = await startLedger({}, folder)
    const made = await createToken(callerOf(first.url, bearer(jwtFor('acct_1'))))
    await first.close()
    token = made.token
    path = `${TOKENS}/${made.id}`
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    await growHistory(store, made.id, MOST)
    await store.close()
    service = await startLedger({}, folder)
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(async () => {
    await service.close()
    await rm(folder, { recursive: true })
  })

  it('is changed no more, which is checked last and only for a change', async () => {
    const { status, body } = await owner.patch(path, { name: 'another' })
    expect([status, body.code]).to.deep.equal([409, 'token_history_full'])
    expect((await owner.patch(path, { name: '' })).status).to.equal(422)
    const stale = await owner.patch(path, { name: 'another' }, { 'If-Match': '"0"' })
    expect(stale.status).to.equal(412)
    const same = await owner.patch(path, { name: `name ${MOST - 1}` })
    expect([same.status, same.body.revision]).to.deep.equal([200, MOST - 1])
  })

  it('holds nobody up, whatever is asked of it', async () => {
    const asked: [what: string, ask: () => Promise<unknown>][] = [
      ['the resource', () => owner.get(path)],
      ['as of its end', () => owner.get(`${path}?at=${MOST - 1}`)],
      ['as of now, three at once', () => Promise.all([asOfNow(), asOfNow(), asOfNow()])],
      ['its history', () => owner.get(`${path}/events?limit=100`)],
      ['its blast radius', () => owner.get(`${path}/blast-radius`)],
      ['a change', () => owner.patch(path, { name: 'another' })],
    ]
    const asOfNow = () => owner.get(`${path}?at=${encodeURIComponent(new Date().toISOString())}`)
    // The first request makes what it needs, such as the description of the answers.
    for (const [, ask] of asked) await ask()
    for (const [what, ask] of asked) expect(await longestTurn(ask), what).to.be.below(LONGEST_MS)
  })

  it('tells of each moment of its past', async () => {
    for (const revision of [0, 9, 10, 11, 4_999, MOST - 1]) {
      const { body } = await owner.get(`${path}?at=${revision}`)
      expect(body).to.include({ revision, name: revision === 0 ? 'a token' : `name ${revision}` })
    }
    expect((await owner.get(`${path}?at=${MOST}`)).status).to.equal(404)
  })

  it('is good until it is revoked, which it always can be', async () => {
    expect((await owner.get('/auth/verify', tokenHeader(token))).status).to.equal(200)
    expect((await owner.delete(path)).status).to.equal(204)
    expect(
      (await owner.with({}).get('/auth/verify', { Authorization: '', ...tokenHeader(token) })).status,
    ).to.equal(401)
    expect((await owner.get(path)).body).to.include({ status: 'revoked', revision: MOST })
    expect((await owner.patch(path, { name: 'another' })).body.code).to.equal('token_revoked')
    expect((await owner.delete(path)).status).to.equal(204)
  })
})
