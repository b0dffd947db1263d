import { expect } from 'chai'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import { ROLLED_UP_DAYS } from '../../src/domain/streams.ts'
import { apiOf } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type Fleet, type Member, startFleet } from '../support/processes/fleet.ts'
import { describeWithMongod } from '../support/stores/mongod.ts'
import { FIRST_DAY, liveFirstDays } from '../support/events/usageLife.ts'

const DAYS = 6
const PATH = `/settings/api-tokens/usage?from=${new Date(FIRST_DAY).toISOString()}&granularity=hour`

describeWithMongod('Many processes with USAGE_RETENTION_DAYS', () => {
  let fleet: Fleet
  let store: EventStore

  beforeEach(async () => {
    fleet = await startFleet(0)
    store = await openEventStoreDb(`esdb://127.0.0.1:${fleet.eventStore.port}?tls=false`)
    await liveFirstDays(store, DAYS)
  })

  afterEach(async () => {
    await store.close()
    await fleet.close()
  })

  async function rolledUpDays(): Promise<string[]> {
    return (await store.readStream(ROLLED_UP_DAYS)).map(({ data }) => (data as { day: string }).day)
  }

  async function usageOf({ service }: Member): Promise<unknown> {
    const { status, body } = await apiOf(service.url).call<object>('GET', PATH)
    expect(status).to.equal(200)
    return { ...body, to: null }
  }

  it('roll each day up once, the leader killed in between included', async () => {
    const keeping = await fleet.add({})
    const before = await usageOf(keeping)
    await keeping.service.stop()
    expect(await rolledUpDays()).to.deep.equal([])

    const env = { USAGE_RETENTION_DAYS: '7' }
    const first = await fleet.add({ env })
    const second = await fleet.add({ env })
    await eventually(async () => expect(await rolledUpDays()).to.have.length.greaterThan(0))
    await first.service.kill()
    await eventually(async () => {
      const { body } = await second.api.call<string>('GET', '/metrics')
      expect(body).to.match(/^tokenledger_projector_leads 1$/m)
    })
    await eventually(async () => expect(await rolledUpDays()).to.have.length(DAYS))
    const days = Array.from({ length: DAYS }, (_, i) => new Date(FIRST_DAY + i * 86_400_000))
    expect(await rolledUpDays()).to.deep.equal(days.map((day) => day.toISOString().slice(0, 10)))
    expect(await usageOf(second)).to.deep.equal(before)
  })
})
