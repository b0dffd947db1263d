import { expect } from 'chai'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import { ROLLED_UP_DAYS } from '../../src/domain/streams.ts'
import { FIRST_DAY, liveFirstDays, usageLife } from '../support/events/usageLife.ts'
import { type LeanFleet, type LeanMember, startLeanFleet } from '../support/processes/leanFleet.ts'
import { eventually } from '../support/suite/eventually.ts'

const DAYS = 4
const PATH = `/settings/api-tokens/usage?from=${new Date(FIRST_DAY).toISOString()}&granularity=hour`

describe('Processes on EventStoreDB alone with USAGE_RETENTION_DAYS', function () {
  this.timeout(600_000)
  let fleet: LeanFleet
  let store: EventStore

  beforeEach(async () => {
    fleet = await startLeanFleet(0)
    store = await openEventStoreDb(`esdb://127.0.0.1:${fleet.eventStore.port}?tls=false`)
    await liveFirstDays(store, DAYS)
  })

  afterEach(async () => {
    await store.close()
    await fleet.close()
  })

  /** The days that are rolled up, each with the process that did it. */
  async function rolledUp(): Promise<[day: string, by: string][]> {
    return (await store.readStream(ROLLED_UP_DAYS)).map(({ data, metadata }) => [
      (data as { day: string }).day,
      (metadata as { actor: { id: string } }).actor.id,
    ])
  }

  async function usageOf({ api }: LeanMember): Promise<unknown> {
    const { status, body } = await api.call<object>('GET', PATH)
    expect(status).to.equal(200)
    return { ...body, to: null }
  }

  it('roll each day up once, by one of them, and by the next when that one has stopped', async () => {
    const env = { USAGE_RETENTION_DAYS: '7' }
    const [first, second] = [await fleet.add({ env }), await fleet.add({ env })]
    await eventually(async () => expect(await rolledUp()).to.have.length(DAYS))
    const before = await eventually(() => usageOf(second))
    expect(await eventually(() => usageOf(first))).to.deep.equal(before)
    expect(new Set((await rolledUp()).map(([, by]) => by)).size).to.equal(1)

    // The first one has done its turn, and the next is in ten minutes.
    const life = usageLife()
    for (let day = 0; day < DAYS; day++) await life.live(store, day + DAYS)
    expect(await first.service.stop()).to.equal(0)
    const third = await fleet.add({ env })
    await eventually(async () => expect(await rolledUp()).to.have.length(2 * DAYS))
    const days = Array.from({ length: 2 * DAYS }, (_, i) => new Date(FIRST_DAY + i * 86_400_000))
    const found = await rolledUp()
    expect(found.map(([day]) => day)).to.deep.equal(days.map((day) => day.toISOString().slice(0, 10)))
    expect(new Set(found.map(([, by]) => by)).size).to.equal(2)
    expect(await eventually(() => usageOf(third))).to.deep.equal(await eventually(() => usageOf(second)))
  })
})
