import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import type { Damage } from '../../../../src/application/audit/verifyLog.ts'
import { DamagedError } from '../../../../src/domain/errors.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { tokenStream, usageStream } from '../../../../src/domain/streams.ts'
import {
  created,
  INSTANCE,
  renamed,
  time,
  USAGE,
  used,
  walkOf,
  writerTo,
} from '../../../support/events/audited.ts'
import { addSignals, type MemoryStore, memoryStore } from '../../../support/stores/memoryStore.ts'

describe('A walk over the log', () => {
  const ids = Array.from({ length: 3 }, () => randomUUID())
  const [FIRST, SECOND, LAST] = ids.map(tokenStream) as [string, string, string]
  let memory: MemoryStore
  let write: ReturnType<typeof writerTo>

  beforeEach(async () => {
    memory = memoryStore()
    write = writerTo(memory.store)
    for (const id of ids) {
      await write(tokenStream(id), [created(id)])
      await write(USAGE, [used(id), used(id)])
      await write(tokenStream(id), [renamed('b'), renamed('c')])
    }
    await write(LAST, [renamed('d')])
    memory.addForeign()
  })

  const at = (stream: string, revision: number): StoredEvent =>
    memory.log.find((event) => event.stream === stream && event.revision === revision) as StoredEvent
  const remove = (event: StoredEvent): void => void memory.log.splice(memory.log.indexOf(event), 1)
  const places = (found: Damage[]) => found.map(({ stream, revision }) => [stream, revision])

  it('finds nothing in a log that is what was written, whoever else writes to it', async () => {
    memory.addForeign({ data: { chain: 'x' }, metadata: { chain: 'x' } })
    memory.addForeign({ data: null, metadata: null })
    await addSignals(memory)
    expect(await walkOf(memory.store)).to.deep.equal({
      events: 16,
      streams: 4,
      shortened: 0,
      damages: 0,
      notCompared: 0,
      isWhole: true,
      found: [],
    })
  })

  it('finds nothing in an empty log', async () => {
    expect((await walkOf(memoryStore().store)).events).to.equal(0)
  })

  const alterations: Record<string, (event: StoredEvent) => void> = {
    data: (event) => void (event.data = { ...(event.data as object), name: 'forged' }),
    metadata: (event) => void (event.metadata = { ...(event.metadata as object), at: time(1) }),
    'the chain': (event) => void (event.metadata = { ...(event.metadata as object), chain: '0'.repeat(64) }),
    'the chain, into none': (event) => void (event.metadata = { ...(event.metadata as object), chain: 7 }),
    type: (event) => void (event.type = 'TokenRevoked'),
    id: (event) => void (event.id = randomUUID()),
    'everything, so that it cannot be read': (event) => {
      event.data = null
      event.metadata = null
    },
    'metadata, into no object': (event) => void (event.metadata = 'none'),
  }
  for (const [what, alter] of Object.entries(alterations)) {
    for (const revision of [0, 1, 2]) {
      it(`names the event, and no later one of its stream, where an event was altered: ${what}, ${revision}`, async () => {
        alter(at(SECOND, revision))
        alter(at(USAGE, revision))
        const { found, damages } = await walkOf(memory.store)
        expect(places(found)).to.have.deep.members([
          [SECOND, revision],
          [USAGE, revision],
        ])
        expect(damages).to.equal(2)
      })
    }
  }

  it('tells altered from unreadable and missing, and counts what stands behind them', async () => {
    at(SECOND, 0).data = { ...(at(SECOND, 0).data as object), name: 'forged' }
    Object.assign(at(FIRST, 1), { data: null, metadata: null })
    remove(at(LAST, 2))
    const { found, notCompared, isWhole } = await walkOf(memory.store)
    expect(Object.fromEntries(found.map(({ stream, kind }) => [stream, kind]))).to.deep.equal({
      [SECOND]: 'altered',
      [FIRST]: 'unreadable',
      [LAST]: 'missing',
    })
    expect([notCompared, isWhole]).to.deep.equal([3, true])
  })

  it('says where it had to end', async () => {
    const { readAll } = memory.store
    memory.store.readAll = async function* (after) {
      for await (const batch of readAll(after)) {
        yield batch.slice(0, 3)
        throw new DamagedError('the disk has lost it')
      }
    }
    const { found, events, isWhole } = await walkOf(memory.store)
    expect([events, isWhole]).to.deep.equal([3, false])
    expect(found).to.have.lengthOf(1)
    expect(found[0]).to.include({ kind: 'unreadable', position: memory.log[2]?.position })
    expect(found[0]?.what).to.contain('cannot be read on').and.contain('the disk has lost it')
  })

  it('names the place of an event that was removed', async () => {
    remove(at(SECOND, 1))
    remove(at(LAST, 0))
    const { found } = await walkOf(memory.store)
    expect(places(found)).to.deep.equal([
      [SECOND, 1],
      [LAST, 0],
    ])
    expect(found[0]?.what).to.contain('is missing')
  })

  it('names the event behind the gap where the revisions were closed up', async () => {
    remove(at(SECOND, 1))
    at(SECOND, 2).revision = 1
    expect(places((await walkOf(memory.store)).found)).to.deep.equal([[SECOND, 1]])
  })

  it('names an event that was inserted', async () => {
    const copy = structuredClone(at(SECOND, 2))
    memory.log.push({ ...copy, id: randomUUID(), revision: 3, position: '9'.repeat(20) })
    expect(places((await walkOf(memory.store)).found)).to.deep.equal([[SECOND, 3]])
  })

  it('names an event that comes twice, or before the one it follows', async () => {
    memory.log.push({ ...structuredClone(at(SECOND, 1)), position: '9'.repeat(20) })
    const [a, b] = [at(LAST, 1), at(LAST, 2)]
    const places_ = [memory.log.indexOf(a), memory.log.indexOf(b)] as const
    memory.log[places_[0]] = { ...b, position: a.position }
    memory.log[places_[1]] = { ...a, position: b.position }
    expect(places((await walkOf(memory.store)).found)).to.have.deep.members([
      [SECOND, 1],
      [LAST, 1],
    ])
  })

  for (const revision of [0, 2]) {
    it(`names an event that was moved to another stream, ${revision}, in its new place and its old one`, async () => {
      at(LAST, 3).stream = FIRST
      at(SECOND, revision).stream = tokenStream(randomUUID())
      const { found } = await walkOf(memory.store)
      expect(places(found)).to.deep.include([FIRST, 3])
      expect(found.some(({ stream }) => ![FIRST, SECOND, LAST, USAGE].includes(stream ?? ''))).to.equal(true)
    })
  }

  it('finds the only event of a stream under another name', async () => {
    for (const name of [tokenStream(randomUUID()), 'apiTokem-x', usageStream(randomUUID(), time(0))]) {
      const alone = memoryStore()
      await writerTo(alone.store)(FIRST, [created(ids[0] ?? '')])
      expect((await walkOf(alone.store)).damages, 'before').to.equal(0)
      Object.assign(alone.log[0] as StoredEvent, { stream: name })
      expect((await walkOf(alone.store)).damages, name).to.equal(1)
    }
  })

  it('finds the only event of a stream at another revision', async () => {
    for (const revision of [1, 8, -1, 2 ** 40]) {
      const alone = memoryStore()
      const [token = ''] = ids
      await writerTo(alone.store)(FIRST, [created(token)])
      await writerTo(alone.store)(USAGE, [used(token)])
      for (const event of alone.log) event.revision = revision
      expect((await walkOf(alone.store)).damages, String(revision)).to.equal(2)
    }
  })

  describe('of usage that retention has taken from the front', () => {
    beforeEach(() => {
      remove(at(USAGE, 0))
      remove(at(USAGE, 1))
    })

    it('begins with the first event left', async () => {
      const { damages, shortened } = await walkOf(memory.store)
      expect([damages, shortened]).to.deep.equal([0, 1])
    })

    it('finds what is wrong behind it', async () => {
      at(USAGE, 4).type = 'UsageLost'
      expect(places((await walkOf(memory.store)).found)).to.deep.equal([[USAGE, 4]])
    })

    it('finds that the first one left has no link, or no revision that can be', async () => {
      const first = at(USAGE, 2)
      const { metadata } = first
      first.metadata = { ...(metadata as object), chain: 'none' }
      expect(places((await walkOf(memory.store)).found)).to.deep.equal([[USAGE, 2]])
      Object.assign(first, { metadata, revision: 2 ** 40 })
      expect(places((await walkOf(memory.store)).found)).to.deep.equal([[USAGE, 2 ** 40]])
    })

    it('finds it in a stream that is not its own', async () => {
      at(USAGE, 5).stream = usageStream(randomUUID(), time(0))
      expect((await walkOf(memory.store)).damages).to.equal(1)
      const tomorrow = usageStream(INSTANCE, time(86_400_000))
      at(USAGE, 4).stream = tomorrow
      expect(places((await walkOf(memory.store)).found)).to.deep.include([tomorrow, 4])
    })

    it('does not take that for an excuse in the life of a token', async () => {
      remove(at(SECOND, 0))
      expect(places((await walkOf(memory.store)).found)).to.deep.equal([[SECOND, 0]])
    })
  })

  it('leaves what is appended while it runs for the next time', async () => {
    const { store } = memory
    const slow = {
      ...store,
      async *readAll(after: string | null) {
        for await (const batch of store.readAll(after)) {
          await write(FIRST, [renamed('later')])
          yield batch
        }
      },
    }
    expect((await walkOf(slow)).events).to.equal(16)
  })
})
