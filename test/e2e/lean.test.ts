import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { untilServed } from '../support/callers/api.ts'
import { cli } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { randomTokens } from '../support/callers/flood.ts'
import { hammer } from '../support/callers/hammer.ts'
import {
  type LeanFleet,
  type LeanMember,
  leanSettings,
  startLeanFleet,
} from '../support/processes/leanFleet.ts'
import { sweep } from '../support/suite/sweep.ts'

const fresh = sweep('tokens', 300, 30)

describe('three processes on EventStoreDB alone, each with a read model of its own', function () {
  this.timeout(600_000)
  let fleet: LeanFleet
  before(async () => {
    fleet = await startLeanFleet(3)
  })
  after(() => fleet.close())

  const inTurn = (n: number) =>
    fleet.members.map((_, i) => fleet.members[(i + n) % 3]) as [LeanMember, LeanMember, LeanMember]

  it(`know a token at once that one of them has made or changed, ${fresh.amount} times${fresh.note}`, async () => {
    for (let n = 0; n < fresh.amount; n++) {
      const [creator, one, other] = inTurn(n)
      const { status, body } = await untilServed(() => creator.api.create({ name: `token ${n}` }))
      expect(status).to.equal(201)
      // On a busy machine a proof may not come in time, and is asked for again.
      const [used, patched] = await Promise.all([
        untilServed(async () => ({ status: await one.api.use(body.token) })),
        untilServed(() => other.api.patch(body.id, { name: `changed ${n}` })),
      ])
      expect([used.status, patched.status]).to.deep.equal([200, 200])
      expect((await untilServed(() => one.api.read(body.id))).body).to.include({
        name: `changed ${n}`,
        revision: 1,
      })
      const { body: listed } = await untilServed(() => creator.api.list('?limit=1'))
      expect(listed.data[0]).to.include({ name: `changed ${n}` })
      expect((await untilServed(() => other.api.revoke(body.id))).status).to.equal(204)
    }
  })

  it('count every use once, and each of them says so', async () => {
    const { body } = await untilServed(() => fleet.members[0]!.api.create({ name: 'counted' }))
    const fires = fleet.members.map(({ api }) => hammer(api.url, body.token))
    await sleep(3_000)
    await Promise.all(fires.map((fire) => fire.stop()))
    expect(fires.flatMap(({ statuses }) => [...statuses.keys()])).to.deep.equal([200, 200, 200])
    const uses = fires.reduce((sum, { statuses }) => sum + (statuses.get(200) ?? 0), 0)
    const usageOf = async ({ api }: LeanMember) => (await api.usage(body.id)).body.total.requests
    for (const member of fleet.members)
      await eventually(async () => expect(await usageOf(member)).to.equal(uses))
  })

  it('fill their read models again each by itself, and lose and revive nothing', async () => {
    const [one, other] = inTurn(0)
    const [good, revoked] = await Promise.all(
      ['good', 'revoked'].map(async (name) => (await untilServed(() => one.api.create({ name }))).body),
    )
    expect((await untilServed(() => other.api.revoke(revoked!.id))).status).to.equal(204)
    const settings = leanSettings(fleet.eventStore.port)
    for (const command of ['rebuild', 'verify']) {
      const { code, stderr } = await cli([command], one.service.folder, settings)
      expect(code, stderr).to.equal(0)
    }
    for (const { api } of [one, other]) {
      const use = (token: string) => untilServed(async () => ({ status: await api.use(token) }))
      expect((await use(good!.token)).status).to.equal(200)
      expect((await use(revoked!.token)).status).to.equal(401)
    }
  })

  const beatsOf = async ({ api }: LeanMember): Promise<number> => {
    const { body } = await api.call<string>('GET', '/metrics')
    return Number(/^tokenledger_heartbeats_total (\d+)$/m.exec(body)?.[1])
  }

  it('write one heartbeat for a question, however much of the read model it takes to answer it', async () => {
    const [one] = inTurn(0)
    const { body } = await untilServed(() => one.api.create({ name: 'blast radius' }))
    const since = new Date(Date.now() - 365 * 86_400_000).toISOString()
    const before = await beatsOf(one)
    const path = `/settings/api-tokens/${body.id}/blast-radius?since=${since}`
    expect((await one.api.call('GET', path)).status).to.equal(200)
    // Of which token, and what it did.
    expect((await beatsOf(one)) - before).to.be.at.most(2)
    expect((await one.api.call('GET', '/settings/api-tokens/events')).status).to.equal(200)
    expect((await beatsOf(one)) - before).to.be.at.most(3)
  })

  it('write heartbeats while look-ups come that no usage proves, and none at other times', async () => {
    const [one] = inTurn(0)
    const beats = () => beatsOf(one)
    // What other tests have asked for.
    await sleep(2_500)
    const before = await beats()
    await sleep(3_000)
    expect(await beats(), 'without look-ups').to.equal(before)
    for (const token of randomTokens(2)) expect(await one.api.use(token)).to.be.oneOf([401, 503])
    const { body } = await one.api.create({ name: 'idle' })
    await sleep(2_500)
    expect(await one.api.use(body.token)).to.equal(200)
    expect(await beats(), 'with one').to.be.greaterThan(before)
  })
})
