import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { untilServed } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type Fleet, type Member, ready, startFleet } from '../support/processes/fleet.ts'
import { hammer, statusOf } from '../support/callers/hammer.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'

describeWithMongod('three processes on one pair of stores', () => {
  let fleet: Fleet
  beforeEach(async () => {
    fleet = await startFleet(3)
  })
  afterEach(() => fleet.close())

  it('know a token at once that one of them has created', async () => {
    for (let n = 0; n < 60; n++) {
      const [creator, ...others] = fleet.members.map(
        (_, i) => fleet.members[(i + n) % fleet.members.length] as Member,
      )
      const { status, body } = await untilServed(() => creator!.api.create({ name: `token ${n}` }))
      expect(status).to.equal(201)
      const statuses = await Promise.all(others.map(({ api }) => api.use(body.token)))
      expect(statuses).to.deep.equal([200, 200])
      expect((await others[0]!.api.patch(body.id, { name: `changed ${n}` })).body).to.include({ revision: 1 })
      expect((await others[1]!.api.read(body.id)).body).to.include({ name: `changed ${n}`, revision: 1 })
      const then = await others[1]!.api.call('GET', `/settings/api-tokens/${body.id}?at=0`)
      expect(then.body).to.include({ name: `token ${n}`, revision: 0 })
    }
  })

  it('take one command of each revision, whichever process it is sent to', async () => {
    const { body } = await fleet.members[0]!.api.create({ name: 'contested' })
    const answers = await Promise.all(
      fleet.members.flatMap(({ api }, m) =>
        Array.from({ length: 5 }, (_, i) =>
          untilServed(() => api.patch(body.id, { name: `from ${m}, ${i}` })),
        ),
      ),
    )
    expect(answers.map(({ status }) => status)).to.deep.equal(answers.map(() => 200))
    const revisions = answers.map((answer) => answer.body.revision).sort((a, b) => a - b)
    expect(revisions).to.deep.equal(answers.map((_, i) => i + 1))
    const { body: history } = await fleet.members[1]!.api.events(body.id)
    expect(history.data.map(({ revision }) => revision)).to.deep.equal(
      Array.from({ length: 16 }, (_, i) => i),
    )
  })

  it('make one token of one idempotency key', async () => {
    const answers = await Promise.all(
      fleet.members.map(({ api }) =>
        untilServed(() => api.create({ name: 'once' }, { 'idempotency-key': 'k1' })),
      ),
    )
    expect(answers.map(({ status }) => status)).to.have.members([200, 200, 201])
    expect(new Set(answers.map(({ body }) => body.id)).size).to.equal(1)
  })

  it('count every use once, also when the one that fills the read model leaves', async () => {
    const { body } = await fleet.members[0]!.api.create({ name: 'counted' })
    const fires = fleet.members.map(({ api }) => hammer(api.url, body.token))
    await sleep(1_500)
    const leader = await leaderOf(fleet.members)
    await fires[leader]!.stop()
    expect(await fleet.members[leader]!.service.stop()).to.equal(0)
    await sleep(1_500)
    await Promise.all(fires.map((fire) => fire.stop()))
    const uses = fires.reduce((sum, { statuses }) => sum + (statuses.get(200) ?? 0), 0)
    expect(fires.flatMap(({ statuses }) => [...statuses.keys()])).to.deep.equal([200, 200, 200])
    const { api } = fleet.members[(leader + 1) % 3] as Member
    await eventually(async () => expect((await api.usage(body.id)).body.total.requests).to.equal(uses))
    await sleep(500)
    expect((await api.usage(body.id)).body.total.requests).to.equal(uses)
  })

  it('fill the read model by another process when the one that did is killed', async () => {
    const leader = await leaderOf(fleet.members)
    const { body } = await fleet.members[leader]!.api.create({ name: 'survivor' })
    await fleet.members[leader]!.service.kill()
    const { api } = fleet.members[(leader + 1) % 3] as Member
    expect(await api.use(body.token)).to.equal(200)
    await eventually(async () => expect((await api.usage(body.id)).body.total.requests).to.equal(1))
  })

  it('are replaced one by one under load without one failed request', async () => {
    const { body } = await fleet.members[0]!.api.create({ name: 'rolling' })
    const pool = [...fleet.members]
    const statuses = new Map<number, number>()
    let going = true
    const agent = new Agent({ keepAlive: true })
    const clients = Array.from({ length: 8 }, async (_, client) => {
      for (let n = client; going; n++) {
        const member = pool[n % pool.length] as Member
        const status = await statusOf(member.api.url, body.token, agent)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        // Without a pause the clients would leave the processes and MongoDB no time for each other.
        await sleep(10)
      }
    })
    for (const old of fleet.members) {
      const next = await fleet.add()
      await ready(next)
      pool.push(next)
      pool.splice(pool.indexOf(old), 1)
      expect(await old.service.stop()).to.equal(0)
    }
    going = false
    await Promise.all(clients)
    agent.destroy()
    expect([...statuses.keys()], JSON.stringify([...statuses])).to.deep.equal([200])
    const { api } = pool[0] as Member
    await eventually(async () =>
      expect((await api.usage(body.id)).body.total.requests).to.equal(statuses.get(200)),
    )
  })
})

async function leaderOf(members: readonly Member[]): Promise<number> {
  const leads = await Promise.all(
    members.map(async ({ api }) => {
      const { body } = await api.call<string>('GET', '/metrics')
      return /^\w*projector_leads 1$/m.test(body)
    }),
  )
  expect(leads.filter(Boolean), 'one leads').to.have.length(1)
  return leads.indexOf(true)
}
