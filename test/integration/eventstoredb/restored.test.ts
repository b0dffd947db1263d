import { expect } from 'chai'
import { compareWithLog } from '../../../src/application/logIdentity/sameLog.ts'
import type { Checkpoint } from '../../../src/application/ports/checkpoints.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { isKept, placeOf } from '../../../src/application/readModel/checkpoints.ts'
import { onStandIns, openForOneTest, VERSIONS } from '../../contract/eventstoredb.server.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { type History, historyOn } from '../../support/events/history.ts'
import { type StandIn, startStandIn } from '../../support/standIn/standIn.ts'
import type { VersionName } from '../../support/standIn/version.ts'

onStandIns(VERSIONS, (version) => {
  describe('whose older log was restored', () => restoredOn(version))
})

function restoredOn(version: VersionName): void {
  let standIn: StandIn
  let store: EventStore
  let history: History
  const open = openForOneTest()

  beforeEach(async () => {
    standIn = await startStandIn({ behave: version })
    store = await open(standIn.url)
    history = await historyOn(store)
    await history.grow(10)
    standIn.backUp()
  })
  afterEach(() => standIn.kill())

  /** Where a reader stands that has seen all of the log. */
  async function checkpoint(): Promise<Checkpoint> {
    const events = []
    for await (const batch of store.readAll(null)) events.push(...batch)
    const [last, kept] = [events.at(-1), events.findLast(isKept)]
    if (!last || !kept) throw new Error('an empty log')
    return { ...placeOf(last), kept: placeOf(kept) }
  }

  async function restore(): Promise<void> {
    await standIn.restore()
    await eventually(() => store.head())
  }

  /** Another application writes an event, of this many bytes. */
  function writeForeign(bytes: number): void {
    const stream = `orders-${bytes}`
    const metadata = Buffer.from('{}')
    const data = Buffer.from(JSON.stringify('x'.repeat(bytes)))
    const id = '00000000-0000-4000-8000-000000000001'
    standIn.log.append(stream, -1, [{ id, type: 'Ordered', contentType: 'application/json', data, metadata }])
  }

  for (const [what, happen] of [
    ['commands', () => history.command()],
    ['uses', () => history.use()],
  ] as const) {
    it(`lacks ${what} that a checkpoint stands on, and shows it`, async () => {
      await happen()
      await happen()
      const at = await checkpoint()
      expect(await compareWithLog(store, at)).to.equal('same')
      await restore()
      expect(await compareWithLog(store, at)).to.equal('ahead')
    })

    it(`lacks ${what}, and shows it when it has grown past them meanwhile, wherever its events begin`, async () => {
      await happen()
      await happen()
      const at = await checkpoint()
      for (let bytes = 1; bytes <= 60; bytes++) {
        await restore()
        for (let i = 0; i < 12; i++) writeForeign(bytes * 12 + i)
        expect(((await store.head()) ?? '') > at.position).to.equal(true)
        expect(await compareWithLog(store, at), `${bytes}`).to.equal('other')
      }
    })
  }
}
