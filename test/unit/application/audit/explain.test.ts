import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { assessUses, usesAround, type UseWindow } from '../../../../src/application/audit/explain.ts'
import { readTokenEvents } from '../../../../src/application/eventLog/tokenStream.ts'
import { DamagedError } from '../../../../src/domain/errors.ts'
import type { EventData } from '../../../../src/domain/events.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { created, lost, renamed, revoked, time, USAGE, used, writerTo } from '../../../support/audited.ts'
import { type MemoryStore, memoryStore } from '../../../support/memoryStore.ts'

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
    expect(await at(0)).to.deep.equal({ during: [], before: null, after: null, lost: [] })
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
    const error = await rejection(at(150))
    expect(error).to.be.instanceOf(DamagedError)
    expect((error as Error).message).to.contain(`revision 1 of ${USAGE}`)
  })
})

describe('What the history says of a use', () => {
  const id = randomUUID()

  async function verdict(what: Partial<EventData<'TokenUsed'>>) {
    const { store } = memoryStore()
    const write = writerTo(store)
    await write(tokenStream(id), [created(id), renamed('b', time(1000)), revoked(time(2000))])
    const events = await readTokenEvents(store, id)
    const { data } = used(id, what) as { data: EventData<'TokenUsed'> }
    return assessUses(events, { stream: USAGE, revision: 0, data })
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

  it('is that it cannot be, on a revision that is revoked or that there is not', async () => {
    expect(await verdict({ tokenRevision: 2 })).to.deep.equal({ kind: 'impossible', why: 'revoked' })
    expect(await verdict({ tokenRevision: 3 })).to.deep.equal({ kind: 'impossible', why: 'no such revision' })
  })
})
