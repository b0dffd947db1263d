import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { type Api, apiOf } from '../support/callers/api.ts'
import { cli } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { ready, startFleet } from '../support/processes/fleet.ts'
import { appendTo } from '../support/events/longLife.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'
import { patchedService } from '../support/processes/patched.ts'
import { endServices, ownFolder, startService } from '../support/processes/service.ts'

/** The service as it was before `TokenUpdated` existed. */
const olderService = () =>
  patchedService('src/domain/upcast.js', [
    ['TokenUpdated: { current: 2, steps: { 1: (data) => data } },', ''],
  ])

const refused = async (api: Api): Promise<string[]> => {
  const { body } = await api.call<string>('GET', '/metrics')
  return [...body.matchAll(/^tokenledger_events_refused_total\{kind="(\w+)"\} (\d+)/gm)].map(
    ([, kind, count]) => `${kind} ${count}`,
  )
}

const ENV = { EVENT_STORE_URL: 'sqlite:events.db', READ_MODEL_URL: 'sqlite:read-model.db' }

/** Every command that reads the log says the same. */
async function assertCommands(folder: string, id: string, otherId: string, isOpen: boolean): Promise<void> {
  const codeOf = async (...args: string[]) => (await cli(args, folder, ENV)).code
  expect(await codeOf('verify', '--chain'), 'the log is what was written').to.equal(0)
  const known = isOpen ? 0 : 1
  expect(await codeOf('verify'), 'what is refused is named').to.equal(known)
  expect(await codeOf('history', id)).to.equal(known)
  expect(await codeOf('explain', id, new Date().toISOString())).to.equal(known)
  expect(await codeOf('audit', 'decisions')).to.equal(known)
  expect(await codeOf('history', otherId)).to.equal(0)
  expect(await codeOf('rebuild')).to.equal(0)
  expect(await codeOf('verify')).to.equal(known)
  expect(await codeOf('export', '--out', 'all.ndjson')).to.equal(0)
  const into = { ...ENV, EVENT_STORE_URL: 'sqlite:copy.db' }
  expect((await cli(['import', 'all.ndjson'], folder, into)).code, 'it comes over whole').to.equal(0)
}

describe('a process that does not know every event of a token', () => {
  afterEach(endServices)

  it('accepts no token that a newer one has changed, and the newer one accepts it again', async () => {
    const folder = await ownFolder()
    const newer = await startService(ENV, folder)
    let api = apiOf(newer.url)
    const [changed, same, revoked] = [
      (await api.create({ name: 'changed' })).body,
      (await api.create({ name: 'same' })).body,
      (await api.create({ name: 'revoked' })).body,
    ]
    await api.patch(changed.id, { name: 'by the newer one' })
    await newer.stop()

    const older = await startService(ENV, folder, await olderService())
    api = apiOf(older.url)
    expect(await Promise.all([changed, same, revoked].map(({ token }) => api.use(token)))).to.deep.equal([
      401, 200, 200,
    ])
    expect((await api.read(changed.id)).body).to.include({ status: 'damaged', name: 'changed' })
    expect((await api.patch(changed.id, { name: 'x' })).body).to.include({ code: 'token_damaged' })
    expect((await api.revoke(revoked.id)).status).to.equal(204)
    expect(await refused(api)).to.deep.equal(['type 1'])
    await eventually(() =>
      expect(older.output()).to.include('event refused').and.include('unknown type TokenUpdated'),
    )
    const { token: made } = (await api.create({ name: 'by the older one' })).body
    await older.stop()

    const again = await startService(ENV, folder)
    api = apiOf(again.url)
    expect((await api.read(changed.id)).body).to.include({ name: 'by the newer one', revision: 1 })
    const history = (await api.events(changed.id)).body.data.map(({ type }) => type)
    expect(history).to.deep.equal(['TokenCreated', 'TokenUpdated'])
    const uses = await Promise.all(
      [changed.token, same.token, revoked.token, made].map((one) => api.use(one)),
    )
    expect(uses).to.deep.equal([200, 200, 401, 200])
    expect((await api.patch(changed.id, { name: 'and on' })).body).to.include({ revision: 2 })
    await again.stop()
    expect((await cli(['verify'], folder, ENV)).code).to.equal(0)
  })

  for (const [what, type, how, isOpen, byCommands] of [
    ['of a type it does not know', 'TokenSplit', { data: { hash: 'f'.repeat(64) } }, false, true],
    [
      'of such a type that only informs',
      'TokenRemarked',
      { data: { days: 7 }, informational: true },
      true,
      true,
    ],
    [
      'of a version it does not know',
      'TokenUpdated',
      { data: { name: 'x' }, schemaVersion: 3 },
      false,
      false,
    ],
    [
      'of such a version that only informs',
      'TokenUpdated',
      { schemaVersion: 3, informational: true },
      false,
      false,
    ],
    ['that tells of uses', 'TokensUsed', {}, false, false],
  ] as const) {
    it(`${isOpen ? 'passes over' : 'stops at'} an event ${what}, everywhere it reads`, async () => {
      const folder = await ownFolder()
      const first = await startService(ENV, folder)
      const { id, token } = (await apiOf(first.url).create({ name: 'one' })).body
      const other = (await apiOf(first.url).create({ name: 'other' })).body
      await first.stop()
      const store = await openSqliteEventStore(`${folder}/events.db`)
      await appendTo(store, id, type, how)
      await store.close()

      const service = await startService(ENV, folder)
      const api = apiOf(service.url)
      expect([await api.use(token), await api.use(other.token)]).to.deep.equal([isOpen ? 200 : 401, 200])
      const path = `/settings/api-tokens/${id}`
      const reads = [api.read(id), api.call('GET', `${path}?at=1`), api.patch(id, { name: 'two' })]
      const statuses = (await Promise.all(reads)).map(({ status }) => status)
      expect(statuses).to.deep.equal(isOpen ? [200, 200, 200] : [200, 409, 409])
      if (!isOpen) expect((await api.read(id)).body).to.include({ status: 'damaged', name: 'one' })
      if (isOpen) {
        expect((await api.read(id)).body).to.include({ name: 'two', revision: 2 })
        expect((await api.call('GET', `${path}?at=1`)).body).to.include({ name: 'one', revision: 1 })
      }
      await service.stop()

      if (byCommands) await assertCommands(folder, id, other.id, isOpen)
    })
  }
})

describeWithMongod('an older process beside a newer one on the same stores', () => {
  it('closes what it does not understand for itself alone, whichever of them came first', async () => {
    const fleet = await startFleet(1)
    try {
      const [newer] = fleet.members.map(({ api }) => api) as [Api]
      const { id, token } = (await newer.create({ name: 'one' })).body
      const member = await fleet.add({ command: await olderService() })
      await ready(member)
      const older = member.api
      expect([await newer.use(token), await older.use(token)]).to.deep.equal([200, 200])
      await newer.patch(id, { name: 'two' })
      await eventually(async () => expect(await older.use(token)).to.equal(401))
      expect(await newer.use(token)).to.equal(200)
      const made = (await older.create({ name: 'by the older one' })).body
      await eventually(async () => expect(await newer.use(made.token)).to.equal(200))
      await newer.revoke(made.id)
      await eventually(async () => expect(await older.use(made.token)).to.equal(401))

      // Now only the older process runs, and then it is updated.
      await fleet.members[0]?.service.stop()
      expect(await older.use(token)).to.equal(401)
      await member.service.stop()
      const updated = await fleet.add()
      await ready(updated)
      expect(await updated.api.use(token)).to.equal(200)
      expect((await updated.api.read(id)).body).to.include({ name: 'two', revision: 1 })
      expect(await updated.api.use(made.token)).to.equal(401)
    } finally {
      await fleet.close()
    }
  })
})
