import { expect } from 'chai'
import { checkOldestUsage } from '../../../scripts/doctor/usageChecks.ts'
import { ids } from '../../../src/application/eventLog/ids.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import type { NewEvent } from '../../../src/domain/events.ts'
import { usageStream } from '../../../src/domain/streams.ts'
import { DAY_MS } from '../../../src/domain/time.ts'
import { readSettings } from '../../../src/settings/settings.ts'
import { openEventStore } from '../../../src/stores/open.ts'
import { type StandIn, startStandIn } from '../../support/standIn/standIn.ts'

describe('Usage in an EventStoreDB (stand-in) that is past its time', () => {
  let standIn: StandIn
  let store: EventStore
  let clock: number
  const env = () => ({ EVENT_STORE_URL: standIn.url, USAGE_RETENTION_DAYS: '30' })
  const doctor = () => checkOldestUsage(readSettings(env()))

  beforeEach(async () => {
    clock = Date.now()
    standIn = await startStandIn({ now: () => clock })
    store = await openEventStore(readSettings(env()))
  })
  afterEach(async () => {
    await store.close()
    await standIn.kill()
  })

  /** Two events, so many days ago. @returns when, and their stream */
  async function use(daysAgo: number): Promise<{ at: string; stream: string }> {
    clock = Date.now() - daysAgo * DAY_MS
    const at = new Date(clock).toISOString()
    const stream = usageStream('a', at)
    const event = () =>
      ({ id: ids.random(), type: 'TokenUsed', data: {}, metadata: { at } }) as unknown as NewEvent
    await store.append(stream, 'no_stream', [event(), event()])
    clock = Date.now()
    return { at, stream }
  }

  it('is gone for readers of its stream, is named by the doctor, and goes with a scavenge, but for the last event', async () => {
    const { at, stream } = await use(60)
    await use(1)
    expect(await store.readStream(stream)).to.deep.equal([])
    const before = await doctor()
    expect(before).to.include({ status: 'warn' })
    expect(before?.facts).to.deep.equal({ at, stream, age_days: 60 })
    standIn.log.scavenge()
    const after = await doctor()
    expect(after).to.include({ status: 'ok' })
    expect(after?.facts).to.deep.equal({ at, stream, age_days: 60 })
  })

  it('is none where nothing was used yet', async () => {
    expect(await doctor()).to.include({ status: 'ok', detail: 'none' })
  })
})
