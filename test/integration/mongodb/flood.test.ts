import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { median } from '../../support/suite/stopwatch.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { describeWithMongod, type Mongod, startMongod } from '../../support/stores/mongod.ts'
import { people, put } from '../../contract/readModel.fixtures.ts'

/** More than there are connections for reads, so each read waits for another. */
const AT_ONCE = 200
const FLOOD_MS = 3_000

describeWithMongod('Reads that take every connection there is for reads', () => {
  let server: Mongod
  let model: ReadModel
  let other: ReadModel

  before(async () => {
    server = await startMongod({ set: 'flood' })
    model = await openMongoReadModel(server.url('flood'))
    other = await openMongoReadModel(server.url('flood'))
    await model.open([people])
    await other.open([people])
  })

  after(async () => {
    await model.close()
    await other.close()
    await server.stop()
  })

  /** Slow reads, each of which looks at every document. */
  async function reading<T>(work: () => Promise<T>): Promise<T> {
    await model.apply(Array.from({ length: 300 }, (_, n) => put(`p${n}`, 0, { name: 'x'.repeat(200) })))
    const until = performance.now() + FLOOD_MS
    const where = [{ field: 'name', op: 'contains' as const, value: 'nothing' }]
    let [done, failed] = [0, 0]
    const readers = Array.from({ length: AT_ONCE }, async () => {
      while (performance.now() < until) {
        await model.find('people', { where, limit: 1 }).then(
          () => done++,
          () => failed++,
        )
      }
    })
    const result = await work()
    await Promise.all(readers)
    expect(failed, `it is a flood: ${done} were answered`).to.be.above(0)
    return result
  }

  it('do not hold up word of changes, nor writes', async () => {
    const announced = new Map<string, number>()
    const watch = model.watch('people', ['name'], (ids) => {
      for (const id of ids ?? []) announced.set(id, performance.now())
    })
    await eventually(() => expect(watch.isLive()).to.equal(true))
    const { delays, notLive } = await reading(async () => {
      const found: number[] = []
      let silent = 0
      for (let n = 0; n < 20; n++) {
        await sleep(100)
        if (!watch.isLive()) silent++
        const started = performance.now()
        await model.apply([put(`w${n}`, 0, { name: 'own' })])
        await other.apply([put(`o${n}`, 0, { name: 'by another process' })])
        await eventually(() => expect(announced.has(`o${n}`)).to.equal(true))
        found.push(performance.now() - started)
      }
      return { delays: found, notLive: silent }
    })
    await watch.close()
    // All of this shares a few cores with the server. If it shared connections as well, no announcement would ever
    // come.
    expect(notLive, 'looks at which it was not live').to.be.at.most(5)
    expect(median(delays), 'a write of this and of another process, and word of it').to.be.below(1_000)
  })
})
