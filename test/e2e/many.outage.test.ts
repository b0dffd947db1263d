import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { untilServed } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type Fleet, type Member, startFleet } from '../support/processes/fleet.ts'
import { type Hammer, hammer } from '../support/callers/hammer.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'
import { stopwatch } from '../support/suite/stopwatch.ts'
import { sweep } from '../support/suite/sweep.ts'

const away = sweep('seconds', 30, 8)
const MODEL_AWAY_MS = 6_000

/** A call and how long it took. */
async function timed<T extends { status: number }>(
  call: Promise<T>,
): Promise<{ status: number; ms: number }> {
  const took = stopwatch()
  const { status } = await call
  return { status, ms: took() }
}

const accepted = (hammers: readonly Hammer[]): number =>
  hammers.reduce((sum, { statuses }) => sum + (statuses.get(200) ?? 0), 0)

async function withoutEventStore({ members }: Fleet, leave: () => void, back: () => void): Promise<void> {
  const [one, other] = members as [Member, Member]
  const { body: token } = await untilServed(() => one.api.create({ name: 'used' }))
  const fires = [one, other].map(({ api }) => hammer(api.url, token.token))
  await Promise.all(fires.map((fire) => fire.until(200)))
  leave()
  const until = performance.now() + away.amount * 1_000
  try {
    while (performance.now() < until) {
      const calls = [one.api.create({ name: 'new' }), other.api.patch(token.id, { name: `${until}` })]
      for (const { status, ms } of await Promise.all(calls.map(timed))) {
        expect(status).to.equal(503)
        expect(ms).to.be.below(10_000)
      }
      await sleep(500)
    }
  } finally {
    back()
  }
  const took = stopwatch()
  await eventually(async () => {
    for (const { api } of [one, other])
      expect((await api.create({ name: 'after' })).status, 'created').to.equal(201)
  })
  expect(took()).to.be.below(10_000)
  await Promise.all(fires.map((fire) => fire.stop()))
  for (const { statuses } of fires) expect([...statuses.keys()]).to.deep.equal([200])
  await eventually(async () => {
    const { body } = await one.api.usage(token.id)
    expect(body.total.requests).to.equal(accepted(fires))
  })
}

describeWithMongod('processes on stores that go away', () => {
  let fleet: Fleet
  beforeEach(async () => {
    fleet = await startFleet(2)
  })
  afterEach(() => fleet.close())

  const members = () => fleet.members as [Member, Member]

  it(`go on authenticating while the event store is frozen, or down, for 30 s, and count every use${away.note}`, async () => {
    // Both run at the same time, since they mostly wait.
    const second = await startFleet(2)
    const down = (mode: 'refused' | 'open') => () =>
      second.members.forEach(({ toEvents }) => toEvents.set(mode))
    try {
      await Promise.all([
        withoutEventStore(fleet, fleet.eventStore.freeze, fleet.eventStore.thaw),
        withoutEventStore(second, down('refused'), down('open')),
      ])
    } finally {
      await second.close()
    }
  })

  for (const how of ['frozen', 'killed'] as const) {
    it(`answer 503 and never 401 while MongoDB is ${how}, and lose nothing`, async () => {
      const [one, other] = members()
      const names = Array.from({ length: 20 }, (_, i) => `token ${i}`)
      const tokens = await Promise.all(
        names.map(async (name) => (await untilServed(() => one.api.create({ name }))).body),
      )
      const used = tokens[0]!.token
      await other.api.use(used)
      if (how === 'frozen') await fleet.mongod.freeze()
      else await fleet.mongod.kill()
      // Records in memory may be used for one second more.
      await sleep(1_000)
      const until = performance.now() + MODEL_AWAY_MS
      while (performance.now() < until) {
        const calls = [
          other.api.use(used).then((status) => ({ status })),
          other.api.use(tokens[1]!.token).then((status) => ({ status })),
          one.api.list(),
          one.api.create({ name: 'new' }),
        ]
        for (const { status, ms } of await Promise.all(calls.map(timed))) {
          expect(status).to.equal(503)
          expect(ms).to.be.below(4_000)
        }
        await sleep(200)
      }
      if (how === 'frozen') fleet.mongod.thaw()
      else await fleet.mongod.restart()
      const took = stopwatch()
      await eventually(async () => {
        for (const { token } of tokens)
          for (const { api } of [one, other]) expect(await api.use(token)).to.equal(200)
        expect((await one.api.create({ name: 'after' })).status).to.equal(201)
      })
      expect(took()).to.be.below(10_000)
      const { body } = await other.api.list()
      expect(body.data.map(({ name }) => name)).to.include.members([...names, 'after'])
    })
  }
})
