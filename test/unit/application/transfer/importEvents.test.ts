import { expect } from 'chai'
import { importEvents, NotEmptyError } from '../../../../src/application/transfer/importEvents.ts'
import { ConflictError } from '../../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { checkFile } from '../../../../src/application/transfer/check.ts'
import { genesis, link } from '../../../../src/domain/chain.ts'
import type { NewEvent } from '../../../../src/domain/events.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { faultyStore } from '../../../support/stores/faults.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { createWriter, fill, movableEvent, USAGE } from '../../../support/events/movable.ts'
import { chunked, fileOf } from '../../../support/events/transfer.ts'

describe('An import', () => {
  let file: string

  before(async () => {
    const { store } = memoryStore()
    await fill(store, 3)
    file = await fileOf(store)
  })

  it('has what the file has, and says so', async () => {
    const { store } = memoryStore()
    const imported = await importEvents(store, chunked(file))
    expect(imported).to.deep.equal({ ...(await checkFile(chunked(file))), alreadyThere: 0 })
    expect(await fileOf(store)).to.equal(file)
  })

  it('tells how far it is', async () => {
    const told: string[] = []
    await importEvents(memoryStore().store, chunked(file), {
      written: (events) => told.push(`written ${events}`),
      readBack: (events) => told.push(`read back ${events}`),
    })
    expect(told.slice(0, 4)).to.deep.equal(['written 0', 'written 1', 'written 6', 'written 8'])
    expect(told).to.include('written 24')
    expect(told.at(-1)).to.equal('read back 24')
  })

  it('appends what stands together together, at most 100 events', async () => {
    const source = memoryStore()
    const write = createWriter(source.store)
    const uses = Array.from({ length: 230 }, () => movableEvent('TokenUsed', { count: 1 }))
    await write(tokenStream('a'), [movableEvent('TokenCreated')])
    for (let i = 0; i < uses.length; i += 10) await write(USAGE, uses.slice(i, i + 10))
    await write(tokenStream('a'), [movableEvent('TokenRevoked')])
    const { store, appends } = memoryStore()
    await importEvents(store, chunked(await fileOf(source.store)))
    expect(appends).to.deep.equal([
      [tokenStream('a'), 'no_stream', 1],
      [USAGE, 'no_stream', 100],
      [USAGE, 99, 100],
      [USAGE, 199, 30],
      [tokenStream('a'), 0, 1],
    ])
  })

  it('appends far less than a MiB at once, and what is large alone', async () => {
    const source = memoryStore()
    const write = createWriter(source.store)
    for (const length of [100, 120, 120, 900, 1]) {
      await write(USAGE, [movableEvent('TokenUsed', { route: 'x'.repeat(length * 1024) })])
    }
    const { store, appends } = memoryStore()
    await importEvents(store, chunked(await fileOf(source.store)))
    expect(appends.map(([, , events]) => events)).to.deep.equal([2, 1, 1, 1])
  })

  it('goes on from wherever an earlier one was ended', async () => {
    for (let ended = 0; ended <= 24; ended++) {
      const { store, appends } = memoryStore()
      let budget = ended
      const ending: EventStore = {
        ...store,
        async append(stream, expected, events) {
          const some = events.slice(0, budget)
          budget -= some.length
          // An append is stored as a whole or not at all. Shorter ones stand for imports that put fewer events into
          // one.
          if (some.length > 0) await store.append(stream, expected, some)
          if (budget === 0) throw new Error('killed')
          return { revision: 0, position: '' }
        },
      }
      if (ended > 0) await rejection(importEvents(ending, chunked(file)))
      appends.length = 0
      expect((await importEvents(store, chunked(file))).alreadyThere).to.equal(ended)
      expect(appends.reduce((sum, [, , events]) => sum + events, 0)).to.equal(24 - ended)
      expect(await fileOf(store)).to.equal(file)
    }
  })

  it('has each event once after appends whose outcome is unknown', async () => {
    const { store } = memoryStore()
    const faulty = faultyStore(store)
    faulty.next = ['ok', 'landed', 'lost', 'ok', 'landed']
    await importEvents(faulty.store, chunked(file))
    expect(await fileOf(store)).to.equal(file)
  })

  it('does not mind the events of other applications', async () => {
    const memory = memoryStore()
    memory.addForeign()
    memory.addForeign({ data: { a: 1 } })
    await importEvents(memory.store, chunked(file))
    expect(await fileOf(memory.store)).to.equal(file)
  })

  async function assertRefused(prepare: (store: EventStore) => Promise<unknown>): Promise<void> {
    const { store, log } = memoryStore()
    await prepare(store)
    const before = structuredClone(log)
    expect(await rejection(importEvents(store, chunked(file)))).to.be.instanceOf(NotEmptyError)
    expect(log).to.deep.equal(before)
  }

  it('is refused by a store with other events, more events, or events that differ', async () => {
    await assertRefused((store) => fill(store, 1))
    await assertRefused(async (store) => {
      await importEvents(store, chunked(file))
      await createWriter(store)(tokenStream('new'), [movableEvent('TokenCreated')])
    })
    await assertRefused((store) => {
      const { stream, id, type } = JSON.parse(file.slice(0, file.indexOf('\n')))
      const events = link(genesis(stream), [{ id, type, data: {}, metadata: {} } as unknown as NewEvent])
      return store.append(stream, 'no_stream', events)
    })
  })

  it('shows where somebody else wrote at the same time', async () => {
    const { store } = memoryStore()
    let appends = 0
    const shared: EventStore = {
      ...store,
      async append(...args) {
        if (++appends === 3) await createWriter(store)(tokenStream('new'), [movableEvent('TokenCreated')])
        return store.append(...args)
      },
    }
    const { sha256, events } = await importEvents(shared, chunked(file))
    expect(events).to.equal(25)
    expect(sha256).not.to.equal((await checkFile(chunked(file))).sha256)
    const taken: EventStore = {
      ...store,
      append: async (stream) => Promise.reject(new ConflictError(stream, 7)),
      async *readAll() {},
    }
    expect(await rejection(importEvents(taken, chunked(file)))).to.be.instanceOf(ConflictError)
  })
})
