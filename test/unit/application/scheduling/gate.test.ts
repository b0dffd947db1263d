import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import {
  type Asker,
  BusyError,
  createGate,
  OverLimitError,
} from '../../../../src/application/scheduling/gate.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { gate as latch } from '../../../support/suite/eventually.ts'

/** Work that can be watched: how much of it runs at the same time, and how much was begun. */
function workshop(work: () => Promise<unknown> = () => sleep(2)) {
  const seen = { now: 0, most: 0, begun: 0 }
  return {
    seen,
    async work() {
      seen.begun++
      seen.most = Math.max(seen.most, ++seen.now)
      await work()
      seen.now--
    },
  }
}

const askerWith = (name: string, quota: number): Asker & { used: number } => {
  const asker = { used: 0, name: () => name, left: () => Math.max(0, quota - asker.used) }
  return asker
}

const outcomes = (runs: Promise<unknown>[]) =>
  Promise.all(
    runs.map((run) =>
      run.then(
        () => 'done',
        (error: Error) => error.name,
      ),
    ),
  )

describe('A gate', () => {
  it('lets in so many at once, in the order in which they came', async () => {
    const gate = createGate({ atOnce: 3, waiting: 100, waitMs: 1_000 })
    const { seen, work } = workshop()
    const order: number[] = []
    const runs = Array.from({ length: 20 }, (_, n) => gate.run(() => work().then(() => order.push(n))))
    await Promise.all(runs)
    expect(seen).to.include({ begun: 20, most: 3 })
    expect(order).to.deep.equal(Array.from({ length: 20 }, (_, n) => n))
    expect(gate.waiting()).to.equal(0)
  })

  it('lets in so many in one turn of the loop, where the work waits for nothing', async () => {
    const gate = createGate({ atOnce: 3, waiting: 100, waitMs: 1_000 })
    const { seen, work } = workshop(async () => {})
    const runs = Array.from({ length: 20 }, () => gate.run(work))
    const perTurn: number[] = []
    for (let before = 0; before < 20; before = seen.begun) {
      await nextTurn()
      perTurn.push(seen.begun - before)
    }
    await Promise.all(runs)
    expect(Math.max(...perTurn)).to.equal(3)
  })

  it('turns away who would be one too many, and who has waited too long', async () => {
    let told = 0
    const gate = createGate({ atOnce: 1, waiting: 2, waitMs: 20 }, () => told++)
    const { opened, open } = latch()
    const first = gate.run(() => opened)
    const waiting = [gate.run(async () => {}), gate.run(async () => {})]
    expect(await rejection(gate.run(async () => {}))).to.be.instanceOf(BusyError)
    expect(await outcomes(waiting)).to.deep.equal(['BusyError', 'BusyError'])
    expect([gate.refused(), told, gate.waiting()]).to.deep.equal([3, 3, 0])
    open()
    await first
    await gate.run(async () => {})
  })

  it('gives what the work gives, also that it failed, and goes on', async () => {
    const gate = createGate({ atOnce: 1, waiting: 5, waitMs: 1_000 })
    const failing = rejection(gate.run(async () => Promise.reject(new Error('no'))))
    const following = gate.run(async () => 7)
    expect(await failing).to.have.property('message', 'no')
    expect(await following).to.equal(7)
  })

  it('begins no more than an asker has left, whatever is under way', async () => {
    const gate = createGate({ atOnce: 8, waiting: 1_000, waitMs: 5_000 })
    const asker = askerWith('a', 5)
    const { seen, work } = workshop(async () => {
      await sleep(1)
      asker.used++
    })
    const ended = await outcomes(Array.from({ length: 100 }, () => gate.run(work, asker)))
    expect(seen.begun).to.equal(5)
    expect(ended.filter((one) => one === 'OverLimitError')).to.have.lengthOf(95)
    expect(await rejection(gate.run(work, asker))).to.be.instanceOf(OverLimitError)
  })

  it('lets an asker go on whose work was not in vain', async () => {
    const gate = createGate({ atOnce: 8, waiting: 1_000, waitMs: 5_000 })
    const { seen, work } = workshop()
    const ended = await outcomes(Array.from({ length: 50 }, () => gate.run(work, askerWith('a', 2))))
    expect(ended).to.deep.equal(Array<string>(50).fill('done'))
    expect(seen.most).to.equal(2)
  })

  it('does not let one who has to wait for its own hold up others', async () => {
    const gate = createGate({ atOnce: 8, waiting: 1_000, waitMs: 5_000 })
    const { opened, open } = latch()
    const slow = askerWith('slow', 1)
    const held = [gate.run(() => opened, slow), gate.run(async () => {}, slow)]
    await Promise.all(Array.from({ length: 20 }, () => gate.run(() => sleep(1), askerWith('other', 100))))
    open()
    await Promise.all(held)
  })

  it('gives each asker its share, also of the places to wait', async () => {
    const gate = createGate({ atOnce: 4, waiting: 100, waitingEach: 3, waitMs: 5_000 })
    const share = (name: string): Asker => ({ name: () => name, left: () => 2 })
    const { opened, open } = latch()
    const greedy = Array.from({ length: 20 }, () => gate.run(() => opened, share('greedy')))
    const refused = outcomes(greedy.slice(5))
    const { seen, work } = workshop()
    await Promise.all(Array.from({ length: 4 }, () => gate.run(work, share('other'))))
    expect(seen).to.include({ begun: 4, most: 2 })
    expect(await refused).to.deep.equal(Array<string>(15).fill('BusyError'))
    open()
    await Promise.all(greedy.slice(0, 5))
  })
})
