import { expect } from 'chai'
import { applyChange, present, type StoredDocument } from '../../../projections/change.ts'
import { tokenUsage } from '../../../projections/tokenUsage.ts'
import { exportEvents } from '../../../src/application/exportEvents.ts'
import { ids } from '../../../src/application/ids.ts'
import { type EventStore, StoreUnavailableError } from '../../../src/application/ports.ts'
import { createRetention, GRACE_MS } from '../../../src/application/retention.ts'
import { rollUpDay } from '../../../src/application/rollUp.ts'
import { checkFile } from '../../../src/application/transferCheck.ts'
import { createRolledUpDays, usageOf } from '../../../src/application/usageDays.ts'
import { createUsageScan } from '../../../src/application/usageScan.ts'
import { genesis, link } from '../../../src/domain/chain.ts'
import {
  type EventData,
  type NewEvent,
  ROLLED_UP_DAYS,
  rollUpStream,
  type StoredEvent,
  USAGE_STREAM,
  usageStream,
} from '../../../src/domain/events.ts'
import { upcast } from '../../../src/domain/upcast.ts'
import { rejection } from '../../contract/fixtures.ts'
import { expectedAfter, type Happened } from '../../contract/projections.reference.ts'
import { type MemoryStore, memoryStore } from '../../support/memoryStore.ts'
import { countingTelemetry } from '../../support/pieces.ts'
import { chunked, fileOf } from '../../support/transfer.ts'
import { DAY, FIRST_DAY, HOUR, type UsageLife, usageLife } from '../../support/usageLife.ts'

const RETENTION = 7
const byId = (a: { id?: unknown }, b: { id?: unknown }): number => (String(a.id) < String(b.id) ? -1 : 1)
const isUsage = ({ stream }: StoredEvent): boolean => stream.startsWith(USAGE_STREAM)
const of = (log: readonly StoredEvent[], type: string): StoredEvent[] =>
  log.filter((event) => event.type === type)

/** The usage documents that a log makes. */
function documentsOf(log: readonly StoredEvent[]): object[] {
  const documents = new Map<string, StoredDocument>()
  for (const stored of log) {
    const read = upcast(stored)
    if (read.kind !== 'event' || !tokenUsage.events.includes(read.event.type)) continue
    for (const change of tokenUsage.project(read.event)) {
      const document = documents.get(change.id) ?? {}
      applyChange(document, change, !documents.has(change.id))
      documents.set(change.id, document)
    }
  }
  return [...documents].map(([id, document]) => present<{ id: string }>(id, document)).sort(byId)
}

/** By plain sums over the uses, which share no code with the product. */
const expectedOf = (uses: readonly StoredEvent[]): object[] =>
  expectedAfter(uses as unknown as Happened[]).tokenUsage.sort(byId)

describe('Retention', () => {
  let memory: MemoryStore
  let life: UsageLife

  beforeEach(() => {
    memory = memoryStore()
    life = usageLife()
  })

  function retentionOn(store: EventStore = memory.store, days: number | null = RETENTION) {
    const telemetry = countingTelemetry()
    const dependencies = { store, clock: life.clock, ids, telemetry, days, leads: () => true }
    return { ...createRetention(dependencies), errors: telemetry.errors }
  }

  /** Two days of uses, the second not over yet. */
  async function twoDays(): Promise<StoredEvent[]> {
    await life.live(memory.store, 1)
    await life.live(memory.store, 2)
    life.now = FIRST_DAY + 2 * DAY + GRACE_MS
    return memory.log.filter(isUsage)
  }

  const day = (n: number): string => new Date(FIRST_DAY + n * DAY).toISOString().slice(0, 10)

  /** As if every use that is rolled up were gone. */
  async function withoutRolledUp(): Promise<StoredEvent[]> {
    const days = createRolledUpDays(memory.store)
    await days.refresh()
    return memory.log.filter((event) => {
      const usage = isUsage(event) ? usageOf(event) : null
      return !usage || !days.covers(usage.day, event)
    })
  }

  /** Nothing is counted twice or lost, whether the uses are there or gone. */
  async function expectExact(uses = memory.log.filter(isUsage)): Promise<void> {
    expect(documentsOf(memory.log)).to.deep.equal(expectedOf(uses))
    const left = await withoutRolledUp()
    expect(left.filter(isUsage).length).to.be.lessThan(uses.length)
    expect(documentsOf(left)).to.deep.equal(expectedOf(uses))
  }

  it('rolls up the days that ended long enough ago, once', async () => {
    const uses = await twoDays()
    const retention = retentionOn()
    await retention.run()
    const days = of(memory.log, 'UsageDayRolledUp').map(({ data }) => (data as { day: string }).day)
    expect(days).to.deep.equal([day(1)])
    const left = (await withoutRolledUp()).filter(isUsage)
    expect(left.length).to.be.within(1, uses.length - 1)
    for (const event of left) expect(usageOf(event)?.day).to.not.equal(day(1))
    await expectExact()
    const { length } = memory.log
    await retention.run()
    await retentionOn().run()
    expect(memory.log).to.have.length(length)
    expect(retention.errors).to.deep.equal([])
  })

  it('waits for the grace to pass', async () => {
    await twoDays()
    life.now -= 1
    await retentionOn().run()
    expect(memory.log.every(isUsage)).to.equal(true)
  })

  it('is nothing where usage is kept for ever', async () => {
    await twoDays()
    await retentionOn(memory.store, null).run()
    expect(memory.log.every(isUsage)).to.equal(true)
  })

  it('adds uses that come late to what is rolled up already', async () => {
    await twoDays()
    const retention = retentionOn()
    await retention.run()
    await life.use(memory.store, FIRST_DAY + DAY + 9 * HOUR)
    await expectExact()
    const before = of(memory.log, 'UsageRolledUp').length
    await retention.run()
    // Those of the one token only.
    expect(of(memory.log, 'UsageRolledUp')).to.have.length(before + 1)
    await expectExact()
    await life.use(memory.store, FIRST_DAY + DAY + 20 * HOUR)
    await retentionOn().run()
    await expectExact()
  })

  it('has uses that come while it writes, too', async () => {
    await twoDays()
    let isLate = true
    const append: EventStore['append'] = async (stream, ...rest) => {
      if (isLate && stream === rollUpStream(day(1))) {
        isLate = false
        await life.use(memory.store, FIRST_DAY + DAY + 9 * HOUR)
      }
      return memory.store.append(stream, ...rest)
    }
    await retentionOn({ ...memory.store, append }).run()
    expect(of(memory.log, 'UsageDayRolledUp')).to.have.length(2)
    await expectExact()
  })

  it('goes on after a failure at any point', async () => {
    for (let at = 0; at < 4; at++) {
      memory = memoryStore()
      life = usageLife()
      await twoDays()
      life.now += DAY
      let appends = 0
      const append: EventStore['append'] = async (...args) => {
        if (appends++ === at) throw new StoreUnavailableError('down')
        return memory.store.append(...args)
      }
      const failing = retentionOn({ ...memory.store, append })
      await failing.run()
      expect(failing.errors).to.deep.equal(['usage is not rolled up or swept'])
      await life.use(memory.store, FIRST_DAY + DAY + 9 * HOUR)
      // The same process goes on, or another one.
      await (at % 2 === 0 ? failing : retentionOn()).run()
      await expectExact()
      expect((await withoutRolledUp()).some(isUsage)).to.equal(false)
    }
  })

  it('is harmless when two processes do it at once', async () => {
    await twoDays()
    life.now += DAY
    const both = [retentionOn(), retentionOn()]
    await Promise.all(both.map((one) => one.run()))
    await Promise.all(both.map((one) => one.run()))
    expect(both.flatMap(({ errors }) => errors)).to.deep.equal([])
    await expectExact()
    const days = of(memory.log, 'UsageDayRolledUp').map(({ data }) => (data as { day: string }).day)
    expect(days).to.deep.equal([day(1), day(2)])
  })

  it('folds as many tokens at a time as memory has room for', async () => {
    await twoDays()
    await life.use(memory.store, FIRST_DAY + 2 * DAY + 9 * HOUR)
    const written: unknown[] = []
    for (const maxSize of [1_000_000, 1, 40, 90]) {
      const log = [...memory.log]
      const days = createRolledUpDays(memory.store)
      const scan = createUsageScan(memory.store, days)
      const { signal } = new AbortController()
      await scan.advance(signal)
      const context = {
        store: memory.store,
        clock: life.clock,
        ids,
        telemetry: countingTelemetry(),
        instance: 'i',
      }
      for (const pending of scan.pending()) await rollUpDay({ ...context, maxSize }, days, pending, signal)
      written.push(of(memory.log, 'UsageRolledUp').map(({ data }) => data))
      memory.log.splice(0, memory.log.length, ...log)
    }
    expect(written[0]).to.have.length.greaterThan(3)
    for (const others of written) expect(others).to.deep.equal(written[0])
  })

  // --- What is in the log beside the uses ---------------------------------------------------------------------

  let made = 0
  const event = (type: string, data: object, schemaVersion = 1): NewEvent => {
    const id = `00000000-0000-4000-8000-${String(++made).padStart(12, '0')}`
    const at = new Date(life.now).toISOString()
    const actor = { kind: 'system', id: 'i' }
    const metadata = { at, actor, requestId: id, correlationId: id, schemaVersion, chain: '' }
    return { id, type, data, metadata } as unknown as NewEvent
  }

  const used = (at: number, routes: EventData<'TokenUsed'>['routes'] = []): EventData<'TokenUsed'> => ({
    tokenId: '00000000-0000-7000-8000-000000000001',
    accountId: 'acct_1',
    count: 3,
    firstAt: new Date(at).toISOString(),
    lastAt: new Date(at + 1).toISOString(),
    outcomes: { '2xx': 3 },
    routes,
    tokenRevision: 0,
    lastIp: null,
    lastUserAgent: null,
  })

  const STREAM = usageStream('other', new Date(FIRST_DAY + DAY).toISOString())

  async function write(events: readonly NewEvent[]): Promise<void> {
    await memory.store.append(STREAM, 'no_stream', link(genesis(STREAM), events))
  }

  function finished(): Promise<string[]> {
    const days = createRolledUpDays(memory.store)
    const scan = createUsageScan(memory.store, days)
    return days
      .refresh()
      .then(() => scan.advance(new AbortController().signal))
      .then(() => scan.finished(new Date(life.now).toISOString()).map(({ stream }) => stream))
  }

  it('keeps count of the uses that were declared lost', async () => {
    const at = new Date(FIRST_DAY + DAY).toISOString()
    const lost = (count: number) => event('UsageLost', { count, from: at, to: at, cause: 'full' })
    await write([lost(7), event('TokenUsed', used(FIRST_DAY + DAY)), lost(5)])
    life.now = FIRST_DAY + 3 * DAY
    await retentionOn().run()
    const [ending] = of(memory.log, 'UsageDayRolledUp')
    const covers = [{ stream: STREAM, revision: 2 }]
    expect(ending?.data).to.deep.equal({ day: day(1), upTo: 0, lost: 12, covers })
    expect(await finished()).to.deep.equal([STREAM])
  })

  it('counts no event that was altered, as the projector counts none', async () => {
    await write([1, 2, 3].map((hour) => event('TokenUsed', used(FIRST_DAY + DAY + hour * HOUR))))
    Object.assign(memory.log[1] as StoredEvent, {
      data: { ...used(FIRST_DAY + DAY + 2 * HOUR), count: 1000 },
    })
    life.now = FIRST_DAY + 3 * DAY
    await retentionOn().run()
    const counted = memory.log.filter(isUsage).filter(({ revision }) => revision !== 1)
    expect(documentsOf(await withoutRolledUp())).to.deep.equal(expectedOf(counted))
  })

  it('lets no stream go that holds what this version does not know', async () => {
    for (const strange of [event('TokenUsed', {}, 2), event('SomethingLater', {})]) {
      memory.log.length = 0
      await write([event('TokenUsed', used(FIRST_DAY + DAY)), strange])
      life.now = FIRST_DAY + 3 * DAY
      await retentionOn().run()
      expect(of(memory.log, 'UsageDayRolledUp')).to.have.length(1)
      expect(await finished()).to.deep.equal([])
    }
  })

  it('makes events of a size that any store takes', async () => {
    const path = `/${'ä€'.repeat(250)}`
    const hours = Array.from({ length: 24 }, (_, hour) => {
      const routes = Array.from({ length: 50 }, (_unused, i) => ({
        method: 'GET',
        route: `${path}${hour}${i}`,
        count: 1,
      }))
      return event('TokenUsed', used(FIRST_DAY + DAY + hour * HOUR, routes))
    })
    await write(hours)
    life.now = FIRST_DAY + 3 * DAY
    await retentionOn().run()
    const rolledUp = of(memory.log, 'UsageRolledUp')
    expect(rolledUp.length).to.be.within(2, 24)
    for (const { data } of rolledUp) expect(Buffer.byteLength(JSON.stringify(data))).to.be.below(300_000)
    await expectExact()
  })

  /** A store that says what is swept. */
  function sweeping(): { store: EventStore; swept: string[] } {
    const swept: string[] = []
    const sweep = async (stream: string): Promise<boolean> => swept.push(stream) < 0
    return { store: { ...memory.store, sweep }, swept }
  }

  it('lets streams go when all of them is old enough and rolled up', async () => {
    await twoDays()
    const { store, swept } = sweeping()
    const retention = retentionOn(store)
    const streams = [...new Set(memory.log.map(({ stream }) => stream))]
    // The last uses of a day are stored in the stream of the next one.
    expect(streams).to.have.length(3)
    life.now = FIRST_DAY + (2 + RETENTION) * DAY
    await retention.run()
    expect(swept).to.deep.equal(streams.slice(0, 1))
    life.now = FIRST_DAY + (3 + RETENTION) * DAY + 5_000
    await retention.run()
    expect(swept).to.deep.equal(streams.slice(0, 2))
    life.now += 1
    await retention.run()
    expect(swept).to.deep.equal(streams)
  })

  it('alarms when it is not known what is rolled up, and lets nothing go', async () => {
    await twoDays()
    await retentionOn().run()
    const ending = memory.log.find(({ stream }) => stream === ROLLED_UP_DAYS) as StoredEvent
    ending.metadata = { ...(ending.metadata as object), requestId: 'altered' }
    life.now += 30 * DAY
    const { store, swept } = sweeping()
    const retention = retentionOn(store)
    await retention.run()
    expect(retention.errors[0]).to.equal('usage is not rolled up or swept')
    expect(retention.overdue()).to.equal(2)
    expect(swept).to.deep.equal([])
  })

  it('alarms when the roll-up of a day is damaged, and keeps the events of that day', async () => {
    await twoDays()
    await retentionOn().run()
    const first = memory.log.find(({ stream }) => stream === rollUpStream(day(1))) as StoredEvent
    const { data } = first
    first.data = { ...(data as object), accountId: 'altered' }
    life.now += 30 * DAY
    await life.use(memory.store, FIRST_DAY + DAY + 9 * HOUR)
    const { store, swept } = sweeping()
    const retention = retentionOn(store)
    await retention.run()
    expect(retention.overdue()).to.equal(1)
    expect(retention.errors).to.include('days older than the retention are not rolled up')
    const ofOthers = memory.log.filter((one) => isUsage(one) && usageOf(one)?.day === day(2))
    expect(swept).to.deep.equal([ofOthers.at(-1)?.stream])
    first.data = data
    await retention.run()
    expect([swept.length, retention.overdue()]).to.deep.equal([3, 0])
  })

  it('does not let an export pass during which uses were dropped that it has no roll-up of', async () => {
    await twoDays()
    let isFirst = true
    const readAll: EventStore['readAll'] = async function* (after) {
      for await (const batch of memory.store.readAll(after)) {
        yield batch
        if (!isFirst) continue
        isFirst = false
        await retentionOn().run()
        const { stream } = memory.log[0] as StoredEvent
        if (drops)
          for (let i = memory.log.length; i-- > 0; )
            if (memory.log[i]?.stream === stream) memory.log.splice(i, 1)
      }
    }
    let drops = false
    const { leftOut } = await exportEvents({ ...memory.store, readAll }, async () => {})
    expect([leftOut, memory.log.filter(isUsage).length > 0]).to.deep.equal([0, true])
    memory.log.splice(0, memory.log.length, ...memory.log.filter(isUsage))
    ;[isFirst, drops] = [true, true]
    let file = ''
    const error = await rejection(
      exportEvents({ ...memory.store, readAll }, async (text) => void (file += text)),
    )
    expect((error as Error).message).to.contain('export again')
    expect(await rejection(checkFile(chunked(file)))).to.be.an('error')
    await checkFile(chunked(await fileOf(memory.store)))
  })

  it('takes a roll-up that is cut short for damaged', async () => {
    await twoDays()
    await retentionOn().run()
    const rolledUp = memory.log.filter(({ stream }) => stream === rollUpStream(day(1)))
    memory.log.splice(memory.log.indexOf(rolledUp.at(-1) as StoredEvent), 1)
    life.now += 30 * DAY
    const { store, swept } = sweeping()
    const retention = retentionOn(store)
    await retention.run()
    expect(retention.errors).to.include('usage is not rolled up or swept')
    expect(swept).to.have.length(1)
  })
})
