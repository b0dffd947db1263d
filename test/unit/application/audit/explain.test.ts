import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { assessUses, usesAround, type UseWindow } from '../../../../src/application/audit/explain.ts'
import { type Flaw, readSoundEvents } from '../../../../src/application/eventLog/soundEvents.ts'
import { DamagedError } from '../../../../src/domain/errors.ts'
import type { UsageEntry } from '../../../../src/domain/usageEntries.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'
import {
  created,
  entry,
  lost,
  renamed,
  revoked,
  time,
  USAGE,
  used,
  usedBefore,
  usedTogether,
  writerTo,
} from '../../../support/events/audited.ts'
import { movableEvent } from '../../../support/events/movable.ts'
import { type MemoryStore, memoryStore } from '../../../support/stores/memoryStore.ts'

describe('Uses around a time', () => {
  const id = randomUUID()
  let memory: MemoryStore
  let write: ReturnType<typeof writerTo>

  beforeEach(() => {
    memory = memoryStore()
    write = writerTo(memory.store)
  })

  const window = (from: number, to: number, tokenId = id) =>
    used(tokenId, { firstAt: time(from), lastAt: time(to) })
  const at = (millis: number) => usesAround(memory.store, id, time(millis))
  const starts = (windows: readonly (UseWindow | null)[]) => windows.map((found) => found?.data.firstAt)

  it('are the windows that hold it, by either end, and the nearest ones on both sides', async () => {
    const other = randomUUID()
    await write(USAGE, [
      window(0, 50),
      window(100, 200),
      window(150, 300),
      window(900, 950),
      window(400, 500),
    ])
    await write(USAGE, [window(100, 300, other), window(60, 70, other)])
    for (const millis of [150, 200]) {
      const { before, during, after } = await at(millis)
      expect(starts([before, ...during, after])).to.deep.equal([0, 100, 150, 400].map(time))
    }
    const { before, during, after } = await at(10_000)
    expect([...starts([before]), ...during, after]).to.deep.equal([time(900), null])
  })

  it('are none where none are recorded', async () => {
    expect(await at(0)).to.deep.equal({
      during: [],
      before: null,
      after: null,
      lost: [],
      retired: [],
      damages: [],
    })
  })

  it('may be among those that could not be kept', async () => {
    const data = { count: 7, from: time(100), to: time(200), cause: 'usage buffer full' }
    await write(USAGE, [lost(data)])
    expect((await at(150)).lost).to.deep.equal([data])
    expect((await at(201)).lost).to.deep.equal([])
  })

  it('are not shown where they are not what was written', async () => {
    await write(USAGE, [window(0, 50), window(100, 200)])
    const [, second] = memory.log
    Object.assign(second ?? {}, { data: { ...(second?.data as object), count: 99 } })
    const { before, during, damages } = await at(150)
    expect(starts([before, ...during])).to.deep.equal([time(0)])
    expect(damages).to.have.lengthOf(1)
    expect(damages[0]).to.contain(`revision 1 of ${USAGE}`)
  })
})

describe('Uses around a time, in a log with gaps', () => {
  it('are those that are left, and what is missing is said', async () => {
    const id = randomUUID()
    const memory = memoryStore()
    const write = writerTo(memory.store)
    await write(USAGE, [used(id, { firstAt: time(0), lastAt: time(50) })])
    await write(USAGE, [used(id, { firstAt: time(100), lastAt: time(200) })])
    const { readAll } = memory.store
    const [first] = memory.log
    memory.store.readAll = async function* (after) {
      if (after === null) {
        yield memory.log.slice(0, 1)
        throw new DamagedError('no event at position 2 to 3', { after: first?.position ?? '' })
      }
      yield* readAll(after)
    }
    const { before, during, damages } = await usesAround(memory.store, id, time(150))
    expect([before, ...during].map((found) => found?.data.firstAt)).to.deep.equal([0, 100].map(time))
    expect(damages).to.deep.equal(['no event at position 2 to 3'])
  })

  it('are those that the log still has, where retention has taken events from their stream already', async () => {
    const id = randomUUID()
    const memory = memoryStore()
    const window = (from: number, to: number) => used(id, { firstAt: time(from), lastAt: time(to) })
    await writerTo(memory.store)(USAGE, [window(0, 50), window(100, 200), window(300, 400)])
    const { readStream } = memory.store
    for (const taken of [2, 3]) {
      memory.store.readStream = async (stream, from = 0, limit) =>
        stream === USAGE ? readStream(stream, Math.max(from, taken), limit) : readStream(stream, from, limit)
      const { before, during, after, damages } = await usesAround(memory.store, id, time(150))
      expect([before, ...during, after].map((found) => found?.data.firstAt)).to.deep.equal(
        [0, 100, 300].map(time),
      )
      expect(damages).to.deep.equal([])
    }
  })

  it('are found among those of other tokens, and in events of the older type', async () => {
    const [id, other] = [randomUUID(), randomUUID()]
    const { store } = memoryStore()
    const at = (from: number, to: number) => ({ firstAt: time(from), lastAt: time(to) })
    await writerTo(store)(USAGE, [
      usedBefore(id, at(0, 50)),
      usedTogether(
        entry(other, at(100, 200)),
        entry(id, at(100, 200)),
        entry(id, { ...at(110, 190), secret: 2 }),
        entry(id, at(300, 400)),
      ),
    ])
    const { during, before, after, damages } = await usesAround(store, id, time(150))
    expect(during.map(({ revision, data }) => [revision, data.tokenId, data.secret])).to.deep.equal([
      [1, id, 0],
      [1, id, 2],
    ])
    expect([before?.revision, before?.data.lastAt]).to.deep.equal([0, time(50)])
    expect([after?.revision, after?.data.firstAt]).to.deep.equal([1, time(300)])
    expect(damages).to.deep.equal([])
  })

  it('name an event whose data are not what its type has', async () => {
    const { store } = memoryStore()
    await writerTo(store)(USAGE, [movableEvent('TokensUsed', { entries: [null] })])
    const { during, damages } = await usesAround(store, randomUUID(), time(150))
    expect(during).to.deep.equal([])
    expect(damages[0]).to.contain(`revision 0 of ${USAGE}`).and.contain('cannot be used')
  })

  it('are fewer where one cannot be read', async () => {
    const id = randomUUID()
    const memory = memoryStore()
    await writerTo(memory.store)(USAGE, [used(id, { firstAt: time(0), lastAt: time(50) })])
    Object.assign(memory.log[0] ?? {}, { data: null, metadata: null })
    const { before, damages } = await usesAround(memory.store, id, time(150))
    expect(before).to.equal(null)
    expect(damages[0]).to.contain(`revision 0 of ${USAGE}`).and.contain('cannot be read')
  })
})

describe('What the history says of a use', () => {
  const id = randomUUID()

  async function verdict(what: Partial<UsageEntry>, flaws: Flaw[] = []) {
    const { store } = memoryStore()
    const write = writerTo(store)
    await write(tokenStream(id), [created(id), renamed('b', time(1000)), revoked(time(2000))])
    const sound = await readSoundEvents(store, id)
    return assessUses({ ...sound, flaws }, { stream: USAGE, revision: 0, data: entry(id, what) })
  }

  it('is that the revision was the newest, until the next one', async () => {
    expect(await verdict({ tokenRevision: 0, lastAt: time(1000) })).to.deep.equal({ kind: 'current' })
    expect(await verdict({ tokenRevision: 1, firstAt: time(0), lastAt: time(1500) })).to.deep.equal({
      kind: 'current',
    })
  })

  it('is how long the next one had been there, and which it was', async () => {
    expect(await verdict({ tokenRevision: 1, lastAt: time(2300) })).to.deep.equal({
      kind: 'behind',
      change: { revision: 2, type: 'TokenRevoked', at: time(2000) },
      ms: 300,
    })
  })

  it('is nothing where the history is damaged up to that revision, or behind it', async () => {
    const at = (revision: number) => [{ from: revision, to: revision, what: 'missing' }]
    for (const damaged of [0, 1, 2])
      expect(await verdict({ tokenRevision: 1 }, at(damaged)), String(damaged)).to.deep.equal({
        kind: 'unknown',
      })
    expect(await verdict({ tokenRevision: 0, lastAt: time(1000) }, at(2))).to.deep.equal({ kind: 'current' })
  })

  it('is that it cannot be, on a revision that is revoked or that there is not', async () => {
    expect(await verdict({ tokenRevision: 2 })).to.deep.equal({ kind: 'impossible', why: 'revoked' })
    expect(await verdict({ tokenRevision: 3 })).to.deep.equal({ kind: 'impossible', why: 'no such revision' })
  })
})
