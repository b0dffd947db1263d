import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { within } from '../support/stores/dump.ts'
import { eventually } from '../support/suite/eventually.ts'
import { writeForeign } from '../support/events/foreign.ts'
import { type Fleet, type Member, ready, startFleet } from '../support/processes/fleet.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'

interface Readiness {
  status: string
  checks: { event_store: string; read_model: string }
}

const readiness = async ({ api }: Member) => (await api.call<Readiness>('GET', '/health/ready')).body

describeWithMongod('processes on stores that are not what they were', () => {
  let fleet: Fleet
  afterEach(() => fleet.close())

  for (const [behave, grows] of [
    ['23.10', true],
    ['24.10', false],
  ] as const) {
    const what = `an older EventStoreDB (${behave})${grows ? ', grown past its old end' : ''}`
    it(`answer 503 on ${what}, say which store it is, and go on when the right one is back`, async () => {
      fleet = await startFleet(2, { behave })
      const { members } = fleet
      const [one, other] = members as [Member, Member]
      const { body: token } = await one.api.create({ name: 'good' })
      await sleep(1_500)
      await fleet.eventStore.command('back-up')
      const { body: late } = await other.api.create({ name: 'missing there' })
      await sleep(1_500)
      await fleet.eventStore.command('restore')
      if (grows) await writeForeign(fleet.stores.EVENT_STORE_URL)
      for (const member of members) {
        await eventually(async () =>
          expect((await readiness(member)).checks.event_store).to.equal('replaced'),
        )
        expect((await readiness(member)).status).to.equal('not_ready')
        const { api, service } = member
        expect(await api.use(token.token)).to.equal(503)
        expect((await api.list()).status).to.equal(503)
        expect((await api.revoke(late.id)).status).to.equal(503)
        expect((await api.call('GET', '/health/live')).status).to.equal(200)
        await eventually(() =>
          expect(service.output().match(/is not the one that it was/g)).to.have.length(1),
        )
      }
      await fleet.eventStore.command('undo-restore')
      await Promise.all(members.map(ready))
      for (const { api } of members) expect(await api.use(late.token)).to.equal(200)
      expect((await one.api.revoke(late.id)).status).to.equal(204)
    })
  }

  it('fill a dropped read model again, and answer 503 until then, never 401 or 404', async () => {
    fleet = await startFleet(2)
    const { members } = fleet
    const [one, other] = members as [Member, Member]
    const { body: token } = await one.api.create({ name: 'good' })
    expect(await other.api.use(token.token)).to.equal(200)
    await within(fleet.stores.READ_MODEL_URL, (client) => client.db().dropDatabase())
    const seen = new Set<number>()
    const said = new Set<string>()
    const until = performance.now() + 2_000
    while (performance.now() < until || !seen.has(200)) {
      for (const member of members) {
        seen.add(await member.api.use(token.token))
        seen.add((await member.api.read(token.id)).status)
        said.add((await readiness(member)).checks.read_model)
      }
    }
    expect(seen).to.deep.equal(new Set([200, 503]))
    expect(said).to.include('lost')
    await Promise.all(members.map(ready))
    await eventually(async () => {
      for (const { api } of members) expect((await api.read(token.id)).body.name).to.equal('good')
    })
  })
})
