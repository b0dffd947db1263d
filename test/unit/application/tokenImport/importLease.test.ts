import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import {
  assertNoImport,
  ImportLostError,
  ImportUnderWayError,
  withImportLease,
} from '../../../../src/application/tokenImport/importLease.ts'
import { StoreUnavailableError } from '../../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { walkLog } from '../../../../src/application/audit/verifyLog.ts'
import { IMPORT_STREAM } from '../../../../src/domain/streams.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { faultyStore } from '../../../support/stores/faults.ts'
import { gate } from '../../../support/suite/eventually.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { stopwatch } from '../../../support/suite/stopwatch.ts'

/** A third of the product's times, in milliseconds. */
const TIMES = { renewMs: 270, heldMs: 830, goneMs: 2_000, lookMs: 80 }

const nothing = async (): Promise<void> => {}

describe('The lease of an import', () => {
  let memory: ReturnType<typeof memoryStore>
  const on = (store: EventStore, patienceMs = 60_000) => ({
    store,
    clock: Date.now,
    times: TIMES,
    patience: { ms: patienceMs, outages: true },
  })
  const written = () => memory.log.map(({ data }) => data as { ended: boolean; read: number })

  beforeEach(() => {
    memory = memoryStore()
  })

  /** An import that holds the lease until it is ended. */
  function holder(store = memory.store, patienceMs?: number) {
    const { opened, open } = gate()
    const taken = gate()
    const ended = withImportLease(
      on(store, patienceMs),
      100,
      async (lease) => {
        await lease.hold()
        lease.advance(40)
        await opened
        await lease.hold()
      },
      async () => taken.open(),
    )
    return { taken: taken.opened, end: open, ended }
  }

  it('is told in a stream of its own, linked, from the first write to the end', async () => {
    const one = holder()
    await one.taken
    one.end()
    await one.ended
    expect(written().map(({ ended }) => ended)).to.deep.equal([false, true])
    expect(new Set(memory.log.map(({ stream }) => stream))).to.deep.equal(new Set([IMPORT_STREAM]))
    expect((await walkLog(memory.store, { onDamage() {} })).damages).to.equal(0)
  })

  it('leaves nothing where nothing is written', async () => {
    await withImportLease(on(memory.store), 1, nothing, nothing)
    expect(memory.log).to.deep.equal([])
  })

  it('refuses a second import while one runs, soon and with how far that is', async () => {
    const one = holder()
    await one.taken
    const took = stopwatch()
    const refused = await rejection(assertNoImport(memory.store, TIMES))
    expect(refused).to.be.instanceOf(ImportUnderWayError)
    expect(String(refused)).to.include('40 of 100')
    expect(took()).to.be.below(TIMES.goneMs / 2)
    one.end()
    await one.ended
    await assertNoImport(memory.store, TIMES)
  })

  it('is given to one of those who ask at the same time', async () => {
    const many = Array.from({ length: 5 }, () => holder())
    await Promise.race(many.map(({ taken }) => taken))
    const outcomes = Promise.allSettled(many.map(({ ended }) => ended))
    await sleep(TIMES.heldMs)
    for (const { end } of many) end()
    const kinds = (await outcomes).map(({ status }) => status).sort()
    expect(kinds).to.deep.equal(['fulfilled', 'rejected', 'rejected', 'rejected', 'rejected'])
  })

  it('of one that was killed is free some seconds later', async () => {
    const faulty = faultyStore(memory.store)
    const one = holder(faulty.store, 500)
    await one.taken
    // From here on it writes nothing any more.
    faulty.down = true
    const started = performance.now()
    const took = stopwatch()
    await assertNoImport(memory.store, TIMES)
    expect(performance.now() - started).to.be.at.least(TIMES.goneMs - TIMES.renewMs)
    expect(took()).to.be.below(1.5 * TIMES.goneMs)
    one.end()
    await rejection(one.ended)
  })

  it('is held on to through an outage in which nobody else could begin', async () => {
    const faulty = faultyStore(memory.store)
    const one = holder(faulty.store)
    await one.taken
    faulty.down = true
    await sleep(2 * TIMES.goneMs)
    one.end()
    faulty.down = false
    await one.ended
    expect(written().at(-1)).to.include({ ended: true })
  })

  it('is not relied on by one that could not be heard of, nor written over the next one', async () => {
    const faulty = faultyStore(memory.store)
    const one = holder(faulty.store, 500)
    await one.taken
    faulty.down = true
    await sleep(TIMES.heldMs + 170)
    one.end()
    expect(await rejection(one.ended)).to.be.instanceOf(StoreUnavailableError)

    faulty.down = false
    const late = holder(faulty.store)
    await late.taken
    faulty.down = true
    const next = holder()
    await next.taken
    faulty.down = false
    const before = memory.log.length
    late.end()
    expect(await rejection(late.ended)).to.be.instanceOf(ImportLostError)
    next.end()
    await next.ended
    const writers = memory.log.slice(before).map(({ data }) => (data as { importId: string }).importId)
    expect(new Set(writers).size, 'only the next one has written').to.equal(1)
    expect(written().at(-1)).to.include({ ended: true })
  })
})
