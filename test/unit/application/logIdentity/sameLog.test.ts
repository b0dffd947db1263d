import { expect } from 'chai'
import { projections } from '../../../../projections/index.ts'
import { compareWithLog, hasReached } from '../../../../src/application/logIdentity/sameLog.ts'
import { advance, lowestCheckpoint } from '../../../../src/application/readModel/checkpoints.ts'
import type { Checkpoint, Checkpoints } from '../../../../src/application/ports/checkpoints.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { historyOn } from '../../../support/events/history.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'

const isUsage = ({ stream }: StoredEvent): boolean => stream.startsWith('tokenUsage-')
const isLife = ({ stream }: StoredEvent): boolean => stream.startsWith('apiToken-')

describe('a checkpoint and a log', () => {
  let log: StoredEvent[]
  let store: ReturnType<typeof memoryStore>['store']
  let addForeign: ReturnType<typeof memoryStore>['addForeign']

  beforeEach(async () => {
    ;({ store, log, addForeign } = memoryStore())
    await (await historyOn(store)).grow(60)
  })

  /** The checkpoints of projections behind the n-th event, after filling in pieces. */
  function at(n: number): Checkpoint {
    let checkpoints: Checkpoints = new Map(projections.map((one) => [one, null]))
    for (let from = 0; from <= n; from += 7)
      checkpoints = advance(checkpoints, log.slice(from, Math.min(from + 7, n + 1)))
    return lowestCheckpoint(checkpoints) as Checkpoint
  }

  /** The last event of this kind that has an event of another kind somewhere before it. */
  const lastOf = (isOne: (event: StoredEvent) => boolean): number => log.findLastIndex(isOne)

  it('belong together at every event of the log', async () => {
    for (const n of log.keys()) expect(await compareWithLog(store, at(n)), `${n}`).to.equal('same')
  })

  it('do where retention has taken the event, and all others of usage with it', async () => {
    for (const [n, event] of log.entries()) {
      // The newest event of all stays, since it shows where the log ends.
      if (!isUsage(event) || n === log.length - 1) continue
      const checkpoint = at(n)
      const left = memoryStore()
      left.log.push(...log.filter((one, i) => !(isUsage(one) && i <= n)))
      expect(await compareWithLog(left.store, checkpoint), `${n}`).to.equal('same')
    }
  })

  it('do not where the log ends before it', async () => {
    const checkpoint = at(log.length - 1)
    log.length -= 3
    expect(await compareWithLog(store, checkpoint)).to.equal('ahead')
    log.length = 0
    expect(await compareWithLog(store, checkpoint)).to.equal('ahead')
  })

  it('do not where another event stands at its place', async () => {
    const n = lastOf(isLife)
    const checkpoint = at(n)
    Object.assign(log[n] as StoredEvent, { id: 'of another branch' })
    expect(await compareWithLog(store, checkpoint)).to.equal('other')
  })

  it('do not where the event has the same id and another past', async () => {
    const n = lastOf(isLife)
    const checkpoint = at(n)
    const event = log[n] as StoredEvent
    log[n] = { ...event, metadata: { ...(event.metadata as object), chain: '0'.repeat(64) } }
    expect(await compareWithLog(store, checkpoint)).to.equal('other')
  })

  it('do not where the log has other positions', async () => {
    const checkpoint = at(log.length - 1)
    log.forEach((event, i) => Object.assign(event, { position: String(i).padStart(16, '0') }))
    expect(await compareWithLog(store, checkpoint)).to.equal('other')
  })

  it('do not where retention took the event, and a life went another way before it', async () => {
    const n = lastOf(isUsage)
    const checkpoint = at(n)
    const revoked = log.findLast((event, i) => i < n && isUsage(event)) as StoredEvent
    const branch = log.filter((event) => event !== log[n] || !isUsage(event))
    const other = memoryStore()
    other.log.push(
      ...branch.map((event) =>
        event === revoked ? { ...event, id: 'x', stream: 'apiToken-of-that-branch' } : event,
      ),
    )
    addForeign()
    other.log.push(log.at(-1) as StoredEvent)
    expect(await compareWithLog(other.store, checkpoint)).to.equal('other')
  })

  it('do where the event is damaged: that is another matter', async () => {
    for (const isOne of [isUsage, isLife]) {
      const n = lastOf(isOne)
      const checkpoint = at(n)
      const sound = log[n] as StoredEvent
      log[n] = { ...sound, id: '?', data: null, metadata: null }
      expect(await compareWithLog(store, checkpoint)).to.equal('same')
      log[n] = sound
    }
  })

  it('reaching a place takes all events of the product, and none of others', async () => {
    const [end, last] = [log.at(-1)?.position ?? null, at(log.length - 1)]
    expect(await hasReached(store, last, end)).to.equal(true)
    expect(await hasReached(store, at(log.length - 2), end)).to.equal(false)
    expect(await hasReached(store, null, end)).to.equal(false)
    expect(await hasReached(store, null, null)).to.equal(true)
    addForeign()
    expect(await hasReached(store, last, log.at(-1)?.position ?? null)).to.equal(true)
  })
})
