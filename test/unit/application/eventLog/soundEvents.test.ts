import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { readSoundEvents } from '../../../../src/application/eventLog/soundEvents.ts'
import { asOfSound } from '../../../../src/application/tokens/asOf.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'
import { created, renamed, time, writerTo } from '../../../support/events/audited.ts'
import { type MemoryStore, memoryStore } from '../../../support/stores/memoryStore.ts'

describe('As much of a history as can be trusted', () => {
  const id = randomUUID()
  const stream = tokenStream(id)
  let memory: MemoryStore

  beforeEach(async () => {
    memory = memoryStore()
    const names = ['a', 'b', 'c', 'd', 'e'].map((name, i) => renamed(name, time(1000 * (i + 1))))
    await writerTo(memory.store)(stream, [created(id), ...names])
  })

  const at = (revision: number) => memory.log.find((event) => event.revision === revision) as StoredEvent
  const remove = (revision: number): void => void memory.log.splice(memory.log.indexOf(at(revision)), 1)
  const read = async () => {
    const { events, flaws } = await readSoundEvents(memory.store, id)
    return { revisions: events.map(({ stored }) => stored.revision), flaws }
  }

  it('is all of a sound one, and nothing of none', async () => {
    expect(await read()).to.deep.equal({ revisions: [0, 1, 2, 3, 4, 5], flaws: [] })
    expect(await readSoundEvents(memory.store, randomUUID())).to.deep.equal({ events: [], flaws: [] })
  })

  it('is all but an event that was altered', async () => {
    at(2).data = { name: 'Mallory' }
    const { revisions, flaws } = await read()
    expect(revisions).to.deep.equal([0, 1, 3, 4, 5])
    expect(flaws).to.have.lengthOf(1)
    expect(flaws[0]).to.include({ from: 2, to: 2 })
    expect(flaws[0]?.what).to.contain('altered')
  })

  it('is all but those that are missing, and the one behind them, which nothing vouches for', async () => {
    remove(2)
    remove(3)
    const { revisions, flaws } = await read()
    expect(revisions).to.deep.equal([0, 1, 5])
    expect(flaws[0]).to.deep.equal({ from: 2, to: 3, what: 'missing' })
    expect(flaws[1]).to.include({ from: 4, to: 4 })
  })

  it('is all but one that cannot be read, and the one behind it', async () => {
    Object.assign(at(0), { data: null, metadata: null })
    const { revisions, flaws } = await read()
    expect(revisions).to.deep.equal([2, 3, 4, 5])
    expect(flaws.map(({ from, to }) => [from, to])).to.deep.equal([
      [0, 0],
      [1, 1],
    ])
  })

  it('tells what the token was before the damage, and not after it', async () => {
    at(3).data = { name: 'Mallory' }
    const sound = await readSoundEvents(memory.store, id)
    const nameAt = (moment: Parameters<typeof asOfSound>[1]) => {
      const then = asOfSound(sound, moment)
      return then?.found ? then.token.name : then
    }
    expect(nameAt({ revision: 2 })).to.equal('b')
    expect(nameAt({ time: time(1500) })).to.equal('a')
    for (const moment of [{ revision: 3 }, { revision: 5 }, { time: time(2000) }, { time: time(9000) }])
      expect(nameAt(moment)).to.equal(null)
    expect(nameAt({ time: '2000-01-01T00:00:00.000Z' })).to.deep.include({ why: 'not created yet' })
  })
})
