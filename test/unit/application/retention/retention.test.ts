import { expect } from 'chai'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import {
  StoreMisconfiguredError,
  StoreUnavailableError,
  UnknownOutcomeError,
} from '../../../../src/application/ports/errors.ts'
import { rollUpDay } from '../../../../src/application/retention/rollUp.ts'
import { createRolledUpDays, usageOf } from '../../../../src/application/retention/rolledUpDays.ts'
import { createUsageScan } from '../../../../src/application/retention/usageScan.ts'
import { rollUpStream } from '../../../../src/domain/streams.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'
import { isUsage, ofType, type RetentionLab, retentionLab } from '../../../support/events/retentionLab.ts'
import { DAY, FIRST_DAY, HOUR } from '../../../support/events/usageLife.ts'

describe('Retention', () => {
  let lab: RetentionLab

  beforeEach(() => {
    lab = retentionLab()
  })

  it('rolls up the days that ended long enough ago, once', async () => {
    const uses = await lab.twoDays()
    const retention = lab.retentionOn()
    await retention.run()
    const days = ofType(lab.memory.log, 'UsageDayRolledUp').map(({ data }) => (data as { day: string }).day)
    expect(days).to.deep.equal([lab.day(1)])
    const left = (await lab.withoutRolledUp()).filter(isUsage)
    expect(left.length).to.be.within(1, uses.length - 1)
    for (const event of left) expect([...(usageOf(event)?.days ?? [])]).to.not.include(lab.day(1))
    await lab.expectExact()
    const { length } = lab.memory.log
    await retention.run()
    await lab.retentionOn().run()
    expect(lab.memory.log).to.have.length(length)
    expect(retention.errors).to.deep.equal([])
  })

  it('waits for the grace to pass', async () => {
    await lab.twoDays()
    lab.life.now -= 1
    await lab.retentionOn().run()
    expect(lab.memory.log.every(isUsage)).to.equal(true)
  })

  it('is nothing where usage is kept for ever', async () => {
    await lab.twoDays()
    await lab.retentionOn(lab.memory.store, null).run()
    expect(lab.memory.log.every(isUsage)).to.equal(true)
  })

  it('adds uses that come late to what is rolled up already', async () => {
    await lab.twoDays()
    const retention = lab.retentionOn()
    await retention.run()
    await lab.life.use(lab.memory.store, FIRST_DAY + DAY + 9 * HOUR)
    await lab.expectExact()
    const before = ofType(lab.memory.log, 'UsageRolledUp').length
    await retention.run()
    // The events of this one token only.
    expect(ofType(lab.memory.log, 'UsageRolledUp')).to.have.length(before + 1)
    await lab.expectExact()
    await lab.life.use(lab.memory.store, FIRST_DAY + DAY + 20 * HOUR)
    await lab.retentionOn().run()
    await lab.expectExact()
  })

  it('has uses that come while it writes, too', async () => {
    await lab.twoDays()
    let isLate = true
    const append: EventStore['append'] = async (stream, ...rest) => {
      if (isLate && stream === rollUpStream(lab.day(1))) {
        isLate = false
        await lab.life.use(lab.memory.store, FIRST_DAY + DAY + 9 * HOUR)
      }
      return lab.memory.store.append(stream, ...rest)
    }
    await lab.retentionOn({ ...lab.memory.store, append }).run()
    expect(ofType(lab.memory.log, 'UsageDayRolledUp')).to.have.length(2)
    await lab.expectExact()
  })

  it('goes on after a failure at any point', async () => {
    for (let at = 0; at < 4; at++) {
      lab = retentionLab()
      await lab.twoDays()
      lab.life.now += DAY
      let appends = 0
      const append: EventStore['append'] = async (...args) => {
        if (appends++ === at) throw new StoreMisconfiguredError('this user may not append')
        return lab.memory.store.append(...args)
      }
      const failing = lab.retentionOn({ ...lab.memory.store, append })
      await failing.run()
      expect(failing.errors).to.deep.equal(['usage is not rolled up or swept'])
      await lab.life.use(lab.memory.store, FIRST_DAY + DAY + 9 * HOUR)
      // The same process continues, or another one does.
      await (at % 2 === 0 ? failing : lab.retentionOn()).run()
      await lab.expectExact()
      expect((await lab.withoutRolledUp()).some(isUsage)).to.equal(false)
    }
  })

  for (const [what, error] of [
    ['an outage', new StoreUnavailableError('down')],
    ['an append that is not answered', new UnknownOutcomeError('no answer')],
  ] as const) {
    it(`outlasts ${what} at any point`, async () => {
      for (let at = 0; at < 4; at++) {
        lab = retentionLab()
        await lab.twoDays()
        lab.life.now += DAY
        let appends = 0
        const append: EventStore['append'] = async (...args) => {
          if (appends++ === at) throw error
          return lab.memory.store.append(...args)
        }
        const retention = lab.retentionOn({ ...lab.memory.store, append })
        await retention.run()
        expect(retention.errors).to.deep.equal([])
        await lab.expectExact()
        expect((await lab.withoutRolledUp()).some(isUsage)).to.equal(false)
      }
    })
  }

  it('is harmless when two processes do it at once', async () => {
    await lab.twoDays()
    lab.life.now += DAY
    const both = [lab.retentionOn(), lab.retentionOn()]
    await Promise.all(both.map((one) => one.run()))
    await Promise.all(both.map((one) => one.run()))
    expect(both.flatMap(({ errors }) => errors)).to.deep.equal([])
    await lab.expectExact()
    const days = ofType(lab.memory.log, 'UsageDayRolledUp').map(({ data }) => (data as { day: string }).day)
    expect(days).to.deep.equal([lab.day(1), lab.day(2)])
  })

  /** Rolls up everything, some tokens at a time. @returns how often it read the log */
  async function rollUpWith(maxSize: number, onRead: () => Promise<void> = async () => {}): Promise<number> {
    let reads = 0
    const readAll: EventStore['readAll'] = async function* (after) {
      reads++
      await onRead()
      yield* lab.memory.store.readAll(after)
    }
    const days = createRolledUpDays(lab.memory.store)
    const scan = createUsageScan(lab.memory.store, days)
    const { signal } = new AbortController()
    await days.refresh()
    await scan.advance(signal)
    const telemetry = countingTelemetry()
    const store = { ...lab.memory.store, readAll }
    const context = { store, clock: lab.life.clock, ids, telemetry, instance: 'i', maxSize }
    for (const pending of scan.pending()) await rollUpDay(context, days, pending, signal)
    return reads
  }

  it('folds as many tokens at a time as memory has room for', async () => {
    await lab.twoDays()
    await lab.life.use(lab.memory.store, FIRST_DAY + 2 * DAY + 9 * HOUR)
    const before = [...lab.memory.log]
    const reads: number[] = []
    const written: unknown[] = []
    for (const maxSize of [1_000_000, 1, 40, 90]) {
      reads.push(await rollUpWith(maxSize))
      written.push(ofType(lab.memory.log, 'UsageRolledUp').map(({ data }) => data))
      lab.memory.log.splice(0, lab.memory.log.length, ...before)
    }
    // There are two days, and three tokens are used on each.
    expect(reads.slice(0, 2)).to.deep.equal([2, 6])
    expect(written[0]).to.have.length(6)
    for (const others of written) expect(others).to.deep.equal(written[0])
  })

  it('counts in every round what it counts in the first, whatever comes meanwhile', async () => {
    await lab.twoDays()
    const late = (): Promise<void> => lab.life.use(lab.memory.store, FIRST_DAY + DAY + 9 * HOUR)
    await rollUpWith(1, late)
    await rollUpWith(1)
    await lab.expectExact()
    expect((await lab.withoutRolledUp()).some(isUsage)).to.equal(false)
  })
})
