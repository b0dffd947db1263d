import { expect } from 'chai'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { link, storedChain } from '../../src/domain/chain.ts'
import type { NewEvent } from '../../src/domain/events.ts'
import { tokenStream } from '../../src/domain/streams.ts'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { loseHistory, removeReadModel } from '../support/stores/damage.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { growHistory } from '../support/events/longLife.ts'
import { longestTurn } from '../support/suite/loop.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'

/** Changes the events of a token directly in the file. */
async function alter(folder: string, tokenId: string, set: string, revision: number): Promise<void> {
  const database = await openDatabase(`${folder}/events.db`, { synchronous: 'FULL' })
  database
    .prepare(`UPDATE events SET ${set} WHERE stream = ? AND revision = ?`)
    .run(tokenStream(tokenId), revision)
  database.close()
}

const RENAMED = `data = replace(data, 'second', 'Mallory')`

describe('A token whose history is damaged', () => {
  let folder: string
  let service: TestService
  let owner: Api
  let [damaged, sound]: Body[] = []
  const path = () => `${TOKENS}/${damaged?.id}`

  const start = async (): Promise<void> => {
    service = await startLedger({}, folder)
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  }

  /**
   * Makes a token with three revisions, and another token of the account. The next start finds what was done in
   * between.
   */
  async function given(meanwhile: (id: string) => Promise<void>): Promise<void> {
    damaged = await createToken(owner, { name: 'first', scopes: ['a'], expires_at: '2099-01-01T00:00:00Z' })
    await owner.patch(path(), { name: 'second' })
    await owner.patch(path(), { scopes: ['b'] })
    sound = await createToken(owner, { name: 'sound' })
    for (const one of [damaged, sound])
      await callerOf(service.url, tokenHeader(one.token)).get(`${TOKENS}/self`)
    await service.close()
    await meanwhile(damaged.id)
    await removeReadModel(folder)
    await start()
  }

  const names = async (query: string): Promise<string[]> => {
    const { status, body } = await owner.get(`${TOKENS}?${query}`)
    expect(status, query).to.equal(200)
    return body.data.map(({ name }) => name)
  }

  beforeEach(async () => {
    folder = await ownFolder()
    await start()
  })
  afterEach(async () => {
    await service.close()
    await endServices()
  })

  describe('by an altered event', () => {
    beforeEach(() => given((id) => alter(folder, id, RENAMED, 1)))

    it('is shown as damaged, with what was known and without what it may do', async () => {
      const { status, body } = await owner.get(path())
      expect(status).to.equal(200)
      expect(body).to.include({
        status: 'damaged',
        name: 'first',
        account_id: 'acct_1',
        hint: damaged?.hint,
        created_at: damaged?.created_at,
        expires_at: null,
        revoked_at: null,
      })
      expect(body.scopes).to.deep.equal([])
      const { data } = (await owner.get(TOKENS)).body
      expect(data.find(({ id }) => id === damaged?.id)).to.deep.equal(body)
    })

    it('leaves lists, usage, report and all else of its account as they are', async () => {
      for (const query of ['status=all', 'status=live', 'sort=name', 'sort=-last_accessed'])
        expect(await names(query), query).to.have.members(['first', 'sound'])
      expect(await names('q=first')).to.deep.equal(['first'])
      expect(await names('status=active')).to.deep.equal(['sound'])
      for (const status of ['expired', 'revoked']) expect(await names(`status=${status}`)).to.deep.equal([])
      const usage = (await owner.get(`${TOKENS}/usage`)).body
      expect(usage.tokens.map(({ name }) => name)).to.have.members(['first', 'sound'])
      const report = (await owner.get(`${TOKENS}/report`)).body as unknown as { tokens: object }
      expect(report.tokens).to.deep.equal({ active: 1, expired: 0, revoked: 0, damaged: 1 })
      expect((await owner.get(`${TOKENS}/${sound?.id}`)).body.status).to.equal('active')
      expect((await owner.patch(`${TOKENS}/${sound?.id}`, { name: 'renamed' })).status).to.equal(200)
    })

    it('has the history of its sound events, its usage and its blast radius', async () => {
      const { status, body } = await owner.get(`${path()}/events`)
      expect(status).to.equal(200)
      expect(body.data.map(({ revision }) => revision))
        .to.include(0)
        .and.not.include(1)
      expect((await owner.get(`${path()}/usage`)).body.token_id).to.equal(damaged?.id)
      expect((await owner.get(`${path()}/blast-radius`)).body).to.include({ status: 'damaged' })
    })

    it('is told as it was before the damage, and 409 from there on', async () => {
      expect((await owner.get(`${path()}?at=0`)).body).to.include({ name: 'first', status: 'active' })
      for (const moment of ['1', '2', '2099-01-01T00:00:00Z']) {
        const { status, body } = await owner.get(`${path()}?at=${moment}`)
        expect([status, body.code]).to.deep.equal([409, 'token_damaged'])
      }
    })

    it('authenticates nobody and cannot be changed', async () => {
      const self = callerOf(service.url, tokenHeader(damaged?.token ?? ''))
      expect((await self.get(TOKENS)).status).to.equal(401)
      const { status, body } = await owner.patch(path(), { name: 'mine' })
      expect([status, body.code]).to.deep.equal([409, 'token_damaged'])
      expect((await owner.patch(path(), { name: '' })).status).to.equal(422)
    })

    it('can be revoked, for good', async () => {
      expect((await owner.delete(path(), { 'If-Match': '"77"' })).status).to.equal(412)
      expect((await owner.delete(path())).status).to.equal(204)
      expect((await owner.delete(path())).status).to.equal(204)
      expect((await owner.get(path())).body).to.include({ status: 'revoked' })
      expect(await names('status=revoked')).to.deep.equal(['first'])
      await service.close()
      await removeReadModel(folder)
      await start()
      expect((await owner.get(path())).body).to.include({ status: 'revoked' })
      const { data } = (await owner.get(`${path()}/events`)).body
      expect(data.map(({ type }) => type)).to.include('TokenRevoked')
    })
  })

  it('by its last event cannot be revoked, and says so', async () => {
    await given((id) => alter(folder, id, `metadata = replace(metadata, 'jwt', 'jwu')`, 2))
    const operator = callerOf(service.url, bearer(jwtFor('ann', { scope: 'tokenledger:operator' })))
    const atOperators = `/admin/api-tokens/${damaged?.id}`
    for (const answer of [
      await owner.delete(path()),
      await operator.delete(atOperators),
      await operator.get(`${atOperators}?at=2`),
    ])
      expect([answer.status, answer.body.code]).to.deep.equal([409, 'token_damaged'])
    expect((await owner.get(path())).body).to.include({ status: 'damaged', name: 'second' })
    expect((await owner.get(`${path()}?at=1`)).body).to.include({ name: 'second' })
  })

  it('by an event with what no schema allows is closed, and nothing else is', async () => {
    await given(async (id) => {
      const store = await openSqliteEventStore(`${folder}/events.db`)
      const stream = tokenStream(id)
      const last = (await store.readStream(stream)).at(-1)
      if (!last) throw new Error('no event')
      const data = { name: 17, scopes: 'everything' }
      const [event] = link(storedChain(last), [{ ...last, id: 'forged', type: 'TokenUpdated', data }])
      await store.append(stream, 2, [event as unknown as NewEvent])
      await store.close()
    })
    expect((await owner.get(path())).body).to.include({ status: 'damaged', name: 'second' })
    expect(await names('status=active')).to.deep.equal(['sound'])
    expect(await service.ledger.metrics()).to.match(/events_refused_total\{kind="data"\} 1/)
    expect((await owner.delete(path())).status).to.equal(204)
    expect((await owner.get(path())).body).to.include({ status: 'revoked' })
  })

  for (const [what, sql] of [
    ['is damaged', 'UPDATE streams SET crc = crc + 1 WHERE stream = ?'],
    ['says another revision', 'UPDATE streams SET revision = revision + 4 WHERE stream = ?'],
    ['is gone', 'DELETE FROM streams WHERE stream = ?'],
  ] as const) {
    it(`whose row in the table of streams ${what}, and nothing else, is changed and revoked, for good`, async () => {
      await given(async (id) => {
        const database = await openDatabase(`${folder}/events.db`, { synchronous: 'FULL' })
        database.prepare(sql).run(tokenStream(id))
        database.close()
      })
      const self = callerOf(service.url, tokenHeader(damaged?.token ?? ''))
      expect((await self.get('/auth/verify')).status, 'each of its events is sound').to.equal(200)
      expect((await owner.delete(path(), { 'If-Match': '"77"' })).status).to.equal(412)
      expect((await owner.patch(path(), { name: 'third' })).body.revision).to.equal(3)
      expect((await owner.delete(path())).status).to.equal(204)
      expect((await self.get('/auth/verify')).status).to.equal(401)
      await service.close()
      await removeReadModel(folder)
      await start()
      const again = callerOf(service.url, tokenHeader(damaged?.token ?? ''))
      expect((await again.get('/auth/verify')).status, 'after a rebuild').to.equal(401)
      expect((await owner.get(path())).body.status).to.equal('revoked')
    })
  }

  it('that the event store has lost cannot be revoked, and is closed in its place', async () => {
    damaged = await createToken(owner)
    await loseHistory(folder, damaged.id)
    const { status, body } = await owner.delete(path())
    expect([status, body.code]).to.deep.equal([409, 'token_damaged'])
    const self = callerOf(service.url, tokenHeader(damaged.token))
    expect((await self.get('/auth/verify')).status).to.equal(401)
  })

  it('by thousands of events of a newer version is revoked, and holds nobody up', async () => {
    await given(async (id) => {
      const store = await openSqliteEventStore(`${folder}/events.db`)
      await growHistory(store, id, 5_000, 'TokenFrobbed')
      await store.close()
    })
    await owner.delete(`${TOKENS}/${sound?.id}`)
    const revoke = async () => expect((await owner.delete(path())).status).to.equal(204)
    expect(await longestTurn(revoke, 1)).to.be.below(50)
    expect((await owner.get(path())).body).to.include({ status: 'revoked' })
  })

  it('behind the back of a running service is 409 where it is to be changed, or its creation is repeated', async () => {
    const key = { 'Idempotency-Key': 'once' }
    damaged = (await owner.post(TOKENS, { name: 'first' }, key)).body
    await owner.patch(path(), { name: 'second' })
    await alter(folder, damaged.id, RENAMED, 1)
    for (const answer of [
      await owner.patch(path(), { name: 'third' }),
      await owner.post(TOKENS, { name: 'first' }, key),
    ])
      expect([answer.status, answer.body.code]).to.deep.equal([409, 'token_damaged'])
  })

  it('behind the back of a running service is 409 where its events are asked, and can be revoked', async () => {
    damaged = await createToken(owner, { name: 'first' })
    const self = callerOf(service.url, tokenHeader(damaged.token))
    await owner.patch(path(), { name: 'second' })
    await alter(folder, damaged.id, RENAMED, 1)
    for (const at of ['1', '2099-01-01T00:00:00Z'])
      expect((await self.get(`${TOKENS}/self?at=${at}`)).body.code).to.equal('token_damaged')
    const { status, body } = await self.delete(`${TOKENS}/self`)
    expect([status, body.code]).to.deep.equal([409, 'token_damaged'])
    expect((await self.get(`${TOKENS}/self`)).status, 'it is closed').to.equal(401)
  })
})
