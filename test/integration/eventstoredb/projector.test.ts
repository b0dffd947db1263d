import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { projections } from '../../../projections/index.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { createProjector, type Projector } from '../../../src/application/projection/projector.ts'
import { onStandIns, openForOneTest, VERSIONS } from '../../contract/eventstoredb.server.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { type History, historyOn } from '../../support/events/history.ts'
import { countingTelemetry } from '../../support/stores/pieces.ts'
import { stopwatch } from '../../support/suite/stopwatch.ts'
import { type StandIn, startStandIn } from '../../support/standIn/standIn.ts'
import type { VersionName } from '../../support/standIn/version.ts'

onStandIns(VERSIONS, (version) => {
  describe('and the projector', () => projectorOn(version))
})

function projectorOn(version: VersionName): void {
  let standIn: StandIn
  let store: EventStore
  let readModel: ReadModel
  let projector: Projector
  let history: History
  /** How much longer than it has to each change of the read model takes, in milliseconds. */
  let applyMs: number
  const open = openForOneTest()

  beforeEach(async () => {
    standIn = await startStandIn({ behave: version })
    store = await open(standIn.url)
    readModel = await openSqliteReadModel(':memory:')
    const telemetry = countingTelemetry()
    applyMs = 0
    const slow: ReadModel = {
      ...readModel,
      async apply(...change) {
        if (applyMs > 0) await sleep(applyMs)
        return readModel.apply(...change)
      },
    }
    projector = createProjector({ store, readModel: slow, projections, telemetry, id: 'p', onChanged() {} })
    history = await historyOn(store)
    await history.grow(10)
    await projector.start()
  })
  afterEach(async () => {
    standIn.deliverOnly(null)
    await projector.stop()
    await readModel.close()
    await standIn.kill()
  })

  const caughtUp = () => eventually(async () => expect(projector.lag()).to.equal(0))

  /** The least lag that is said within a second and a half, in which the server is asked more than once. */
  async function leastLag(): Promise<number> {
    const said: number[] = []
    for (let i = 0; i < 75; i++) {
      await sleep(20)
      said.push(projector.lag())
    }
    return Math.min(...said)
  }

  describe('says how far behind it is', () => {
    it('while the server holds back a part of what was written, and that it is not, once it has all', async () => {
      await caughtUp()
      standIn.deliverOnly(7)
      await history.grow(20)
      await eventually(async () => expect(projector.lag()).to.be.above(0))
      expect(await leastLag()).to.be.above(0)
      standIn.deliverOnly(null)
      await caughtUp()
    })

    it('as a short time, while events come faster than it takes to apply them one by one', async () => {
      await caughtUp()
      const isOver = stopwatch()
      applyMs = 150
      let most = 0
      while (isOver() < 8_000) {
        await history.grow(1)
        most = Math.max(most, projector.lag())
      }
      expect(most).to.be.below(4)
    })

    it('while the server gives nothing at all of what was written', async () => {
      await caughtUp()
      standIn.deliverOnly(0)
      await history.grow(1)
      await eventually(async () => expect(projector.lag()).to.be.above(1))
      standIn.deliverOnly(null)
      await caughtUp()
    })

    it('as nothing, after a burst that the server has caught up with, and beside streams of others', async () => {
      await caughtUp()
      const burst = (count: number) =>
        Array.from({ length: count }, (_, i) => ({
          id: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
          type: 'Ordered',
          contentType: 'application/json',
          data: Buffer.from('{}'),
          metadata: Buffer.from('{}'),
        }))
      standIn.log.append('orders-1', -1, burst(2_000))
      await history.grow(100)
      standIn.log.append('orders-2', -1, burst(2_000))
      await caughtUp()
      await sleep(2_500)
      expect(projector.lag()).to.equal(0)
    })
  })
}
