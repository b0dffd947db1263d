import { expect } from 'chai'
import { exportEvents } from '../../../../src/application/transfer/exportEvents.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { checkFile } from '../../../../src/application/transfer/check.ts'
import { usageOf } from '../../../../src/application/retention/rolledUpDays.ts'
import { ROLLED_UP_DAYS, rollUpStream } from '../../../../src/domain/streams.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { rejection } from '../../../contract/fixtures.ts'
import {
  documentsOf,
  expectedOf,
  isUsage,
  ofType,
  OTHER_STREAM,
  RETENTION,
  type RetentionLab,
  retentionLab,
} from '../../../support/events/retentionLab.ts'
import { chunked, fileOf } from '../../../support/events/transfer.ts'
import { GRACE_MS } from '../../../../src/application/retention/retention.ts'
import { DAY, FIRST_DAY, HOUR } from '../../../support/events/usageLife.ts'

describe('Retention and what is in the log', () => {
  let lab: RetentionLab

  beforeEach(() => {
    lab = retentionLab()
  })

  it('keeps count of the uses that were declared lost', async () => {
    const at = new Date(FIRST_DAY + DAY).toISOString()
    const lost = (count: number) => lab.event('UsageLost', { count, from: at, to: at, cause: 'full' })
    await lab.write([lost(7), lab.event('TokenUsed', lab.used(FIRST_DAY + DAY)), lost(5)])
    lab.life.now = FIRST_DAY + 3 * DAY
    await lab.retentionOn().run()
    const [ending] = ofType(lab.memory.log, 'UsageDayRolledUp')
    const covers = [{ stream: OTHER_STREAM, revision: 2 }]
    expect(ending?.data).to.deep.equal({ day: lab.day(1), upTo: 0, lost: 12, covers })
    expect(await lab.finished()).to.deep.equal([OTHER_STREAM])
  })

  it('counts no event that was altered, as the projector counts none', async () => {
    await lab.write([1, 2, 3].map((hour) => lab.event('TokenUsed', lab.used(FIRST_DAY + DAY + hour * HOUR))))
    Object.assign(lab.memory.log[1] as StoredEvent, {
      data: { ...lab.used(FIRST_DAY + DAY + 2 * HOUR), count: 1000 },
    })
    lab.life.now = FIRST_DAY + 3 * DAY
    await lab.retentionOn().run()
    const counted = lab.memory.log.filter(isUsage).filter(({ revision }) => revision !== 1)
    expect(documentsOf(await lab.withoutRolledUp())).to.deep.equal(expectedOf(counted))
  })

  it('lets no stream go that holds what this version does not know', async () => {
    for (const strange of [lab.event('TokenUsed', {}, 2), lab.event('SomethingLater', {})]) {
      lab.memory.log.length = 0
      await lab.write([lab.event('TokenUsed', lab.used(FIRST_DAY + DAY)), strange])
      lab.life.now = FIRST_DAY + 3 * DAY
      await lab.retentionOn().run()
      expect(ofType(lab.memory.log, 'UsageDayRolledUp')).to.have.length(1)
      expect(await lab.finished()).to.deep.equal([])
    }
  })

  it('takes of an event with the uses of several days those of a day, and lets it go when all are in', async () => {
    const entry = (at: number, secret: number) => ({ ...lab.used(at), secret })
    const [first, second] = [FIRST_DAY + DAY, FIRST_DAY + 2 * DAY]
    const entries = [entry(first, 0), entry(first + HOUR, 4), entry(first + HOUR, 0), entry(second, 0)]
    await lab.write([lab.event('TokensUsed', { entries })])
    const uses = lab.memory.log.filter(isUsage)
    lab.life.now = second + GRACE_MS
    await lab.retentionOn().run()
    const days = () =>
      ofType(lab.memory.log, 'UsageDayRolledUp').map(({ data }) => (data as { day: string }).day)
    expect(days()).to.deep.equal([lab.day(1)])
    expect(await lab.finished()).to.deep.equal([])
    expect(documentsOf(lab.memory.log)).to.deep.equal(expectedOf(uses))
    lab.life.now += DAY
    await lab.retentionOn().run()
    expect(days()).to.deep.equal([lab.day(1), lab.day(2)])
    expect(await lab.finished()).to.deep.equal([OTHER_STREAM])
    await lab.expectExact(uses)
  })

  it('makes events of a size that any store takes', async () => {
    const path = `/${'ä€'.repeat(250)}`
    const hours = Array.from({ length: 24 }, (_, hour) => {
      const routes = Array.from({ length: 50 }, (_unused, i) => ({
        method: 'GET',
        route: `${path}${hour}${i}`,
        count: 1,
      }))
      return lab.event('TokenUsed', lab.used(FIRST_DAY + DAY + hour * HOUR, routes))
    })
    await lab.write(hours)
    lab.life.now = FIRST_DAY + 3 * DAY
    await lab.retentionOn().run()
    const rolledUp = ofType(lab.memory.log, 'UsageRolledUp')
    expect(rolledUp.length).to.be.within(2, 24)
    for (const { data } of rolledUp) expect(Buffer.byteLength(JSON.stringify(data))).to.be.below(300_000)
    await lab.expectExact()
  })

  it('lets streams go when all of them is old enough and rolled up', async () => {
    await lab.twoDays()
    const { store, swept } = lab.sweeping()
    const retention = lab.retentionOn(store)
    const streams = [...new Set(lab.memory.log.map(({ stream }) => stream))]
    // The last uses of a day are stored in the stream of the next day.
    expect(streams).to.have.length(3)
    lab.life.now = FIRST_DAY + (2 + RETENTION) * DAY
    await retention.run()
    expect(swept).to.deep.equal(streams.slice(0, 1))
    lab.life.now = FIRST_DAY + (3 + RETENTION) * DAY + 5_000
    await retention.run()
    expect(swept).to.deep.equal(streams.slice(0, 2))
    lab.life.now += 1
    await retention.run()
    expect(swept).to.deep.equal(streams)
  })

  it('alarms when it is not known what is rolled up, and lets nothing go', async () => {
    await lab.twoDays()
    await lab.retentionOn().run()
    const ending = lab.memory.log.find(({ stream }) => stream === ROLLED_UP_DAYS) as StoredEvent
    ending.metadata = { ...(ending.metadata as object), requestId: 'altered' }
    lab.life.now += 30 * DAY
    const { store, swept } = lab.sweeping()
    const retention = lab.retentionOn(store)
    await retention.run()
    expect(retention.errors[0]).to.equal('usage is not rolled up or swept')
    expect(retention.overdue()).to.equal(2)
    expect(swept).to.deep.equal([])
  })

  it('alarms when the roll-up of a day is damaged, and keeps the events of that day', async () => {
    await lab.twoDays()
    await lab.retentionOn().run()
    const first = lab.memory.log.find(({ stream }) => stream === rollUpStream(lab.day(1))) as StoredEvent
    const { data } = first
    first.data = { ...(data as object), accountId: 'altered' }
    lab.life.now += 30 * DAY
    await lab.life.use(lab.memory.store, FIRST_DAY + DAY + 9 * HOUR)
    const { store, swept } = lab.sweeping()
    const retention = lab.retentionOn(store)
    await retention.run()
    expect(retention.overdue()).to.equal(1)
    expect(retention.errors).to.include('days older than the retention are not rolled up')
    const ofOthers = lab.memory.log.filter((one) => isUsage(one) && usageOf(one)?.days.has(lab.day(2)))
    expect(swept).to.deep.equal([ofOthers.at(-1)?.stream])
    first.data = data
    await retention.run()
    expect([swept.length, retention.overdue()]).to.deep.equal([3, 0])
  })

  it('does not let an export pass during which uses were dropped that it has no roll-up of', async () => {
    await lab.twoDays()
    let isFirst = true
    const readAll: EventStore['readAll'] = async function* (after) {
      for await (const batch of lab.memory.store.readAll(after)) {
        yield batch
        if (!isFirst) continue
        isFirst = false
        await lab.retentionOn().run()
        const { stream } = lab.memory.log[0] as StoredEvent
        if (drops)
          for (let i = lab.memory.log.length; i-- > 0; )
            if (lab.memory.log[i]?.stream === stream) lab.memory.log.splice(i, 1)
      }
    }
    let drops = false
    const { leftOut } = await exportEvents({ ...lab.memory.store, readAll }, async () => {})
    expect([leftOut, lab.memory.log.filter(isUsage).length > 0]).to.deep.equal([0, true])
    lab.memory.log.splice(0, lab.memory.log.length, ...lab.memory.log.filter(isUsage))
    ;[isFirst, drops] = [true, true]
    let file = ''
    const error = await rejection(
      exportEvents({ ...lab.memory.store, readAll }, async (text) => void (file += text)),
    )
    expect((error as Error).message).to.contain('export again')
    expect(await rejection(checkFile(chunked(file)))).to.be.an('error')
    await checkFile(chunked(await fileOf(lab.memory.store)))
  })

  it('takes a roll-up that is cut short for damaged', async () => {
    await lab.twoDays()
    await lab.retentionOn().run()
    const rolledUp = lab.memory.log.filter(({ stream }) => stream === rollUpStream(lab.day(1)))
    lab.memory.log.splice(lab.memory.log.indexOf(rolledUp.at(-1) as StoredEvent), 1)
    lab.life.now += 30 * DAY
    const { store, swept } = lab.sweeping()
    const retention = lab.retentionOn(store)
    await retention.run()
    expect(retention.errors).to.include('usage is not rolled up or swept')
    expect(swept).to.have.length(1)
  })
})
