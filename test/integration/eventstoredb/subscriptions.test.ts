import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import type { NewEvent, StoredEvent } from '../../../src/domain/events.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { type StandIn, startStandIn } from '../../support/standIn/standIn.ts'
import type { VersionName } from '../../support/standIn/version.ts'
import { stopwatch } from '../../support/suite/stopwatch.ts'
import { onStandIns, openForOneTest, VERSIONS } from '../../contract/eventstoredb.server.ts'
import { makeEvent } from '../../contract/fixtures.ts'

onStandIns(VERSIONS, (version) => {
  describe('and a subscription to it', () => subscriptionsOf(version))
})

function subscriptionsOf(version: VersionName): void {
  let standIn: StandIn
  let store: EventStore
  const open = openForOneTest()

  beforeEach(async () => {
    standIn = await startStandIn({ behave: version })
    store = await open(standIn.url)
  })
  afterEach(() => standIn.kill())

  const many = (count: number): NewEvent[] => Array.from({ length: count }, () => makeEvent())

  let stop: AbortController
  beforeEach(() => {
    stop = new AbortController()
  })
  afterEach(() => stop.abort())

  /** Reads on by itself, up to an event, and keeps everything it was given. */
  function follow(after: string | null = null, count = Number.POSITIVE_INFINITY) {
    const events: StoredEvent[] = []
    const said: boolean[] = []
    let interruptions = 0
    const done = (async () => {
      for await (const batch of store.subscribe(after, ['s-'], stop.signal)) {
        events.push(...batch.events)
        said.push(batch.caughtUp)
        if (batch.interrupted) interruptions++
        if (events.length >= count) return
      }
    })()
    return { events, said, done, interruptions: () => interruptions, isCaughtUp: () => said.at(-1) === true }
  }

  const caughtUp = ({ isCaughtUp }: { isCaughtUp(): boolean }) =>
    eventually(async () => expect(isCaughtUp()).to.equal(true))

  const numbers = (events: StoredEvent[]) => events.map(({ revision }) => revision)
  const upTo = (count: number) => Array.from({ length: count }, (_, i) => i)

  for (const how of ['slow', 'end', 'reset'] as const) {
    it(`that is dropped (${how}) says that it is not caught up, then that it is again`, async () => {
      const following = follow()
      await caughtUp(following)
      standIn.drop(how)
      await eventually(async () => expect(following.said).to.deep.equal([true, false, true]))
      await store.append('s-1', 'no_stream', many(1))
      await eventually(async () => expect(following.events).to.have.length(1))
    })
  }

  it('loses and repeats nothing when it is dropped again and again while events are written', async () => {
    const following = follow()
    await caughtUp(following)
    for (let i = 0; i < 60; i++) {
      await store.append('s-1', i === 0 ? 'no_stream' : i * 20 - 1, many(20))
      if (i % 3 === 0) standIn.drop((['slow', 'end', 'reset'] as const)[i % 9 === 0 ? 0 : i % 2] ?? 'end')
    }
    await eventually(async () => expect(following.events.length).to.be.at.least(1_200))
    expect(numbers(following.events)).to.deep.equal(upTo(1_200))
  })

  it('loses and repeats nothing when its reader ends at any event and begins again behind it', async () => {
    for (let i = 0; i < 6; i++) await store.append('s-1', i === 0 ? 'no_stream' : i * 10 - 1, many(10))
    const all = await store.readStream('s-1')
    for (const [i, { position }] of all.entries()) {
      const rest = follow(position, all.length - i - 1)
      if (i < all.length - 1) await rest.done
      expect(numbers(rest.events)).to.deep.equal(upTo(60).slice(i + 1))
    }
  })

  it('is caught up only when its reader has everything', async () => {
    for (let i = 0; i < 20; i++) {
      const there = standIn.log.stream('s-1')?.length ?? 0
      await store.append('s-1', there === 0 ? 'no_stream' : there - 1, many(7))
      const seen: number[] = []
      for await (const batch of store.subscribe(null, ['s-'], stop.signal)) {
        seen.push(...numbers(batch.events))
        if (batch.caughtUp) break
      }
      expect(seen).to.deep.equal(upTo(there + 7))
    }
  })

  it('notices that the server is frozen, and is back when it thaws', async () => {
    const following = follow()
    await caughtUp(following)
    standIn.freeze()
    const frozenFor = stopwatch()
    await eventually(async () => expect(following.isCaughtUp()).to.equal(false))
    expect(frozenFor()).to.be.below(5_000)
    await sleep(1_500)
    standIn.thaw()
    const thawedFor = stopwatch()
    await store.append('s-1', 'no_stream', many(1))
    await eventually(async () => expect(following.events).to.have.length(1))
    await caughtUp(following)
    expect(thawedFor()).to.be.below(6_000)
  })

  it('is back after the server was killed and started again', async () => {
    const following = follow()
    await caughtUp(following)
    await standIn.kill()
    await eventually(async () => expect(following.isCaughtUp()).to.equal(false))
    await sleep(1_000)
    await standIn.restart()
    await eventually(() => store.append('s-1', 'no_stream', many(3)))
    await eventually(async () => expect(numbers(following.events)).to.deep.equal(upTo(3)))
  })

  it('begins before the server is there', async () => {
    await standIn.kill()
    const following = follow()
    await sleep(300)
    expect(following.said).to.deep.equal([])
    await standIn.restart()
    await caughtUp(following)
  })

  it('stays caught up while nothing happens', async () => {
    const following = follow()
    await caughtUp(following)
    await sleep(3_500)
    expect(following.said).to.deep.equal([true])
  })

  it('is begun anew when it gives nothing of what is in the log, and is told that it was interrupted', async () => {
    const following = follow()
    await caughtUp(following)
    standIn.deafen()
    await store.append('s-1', 'no_stream', many(3))
    await eventually(async () => expect(numbers(following.events)).to.deep.equal(upTo(3)))
    expect(following.interruptions()).to.equal(1)
  })

  it('is begun anew when it gives nothing from its beginning on', async () => {
    await store.append('s-1', 'no_stream', many(3))
    standIn.deliverOnly(0)
    const following = follow()
    await sleep(500)
    standIn.deafen()
    standIn.deliverOnly(null)
    await eventually(async () => expect(numbers(following.events)).to.deep.equal(upTo(3)))
  })

  it('goes on giving events while the server takes long to answer anything else', async () => {
    const following = follow()
    await caughtUp(following)
    standIn.slow(60_000)
    // By then the log is looked at.
    await sleep(1_500)
    const [id, json] = ['00000000-0000-4000-8000-000000000000', Buffer.from('{}')]
    standIn.log.append('s-1', -1, [
      { id, type: 'T', contentType: 'application/json', data: json, metadata: json },
    ])
    await eventually(async () => expect(numbers(following.events)).to.deep.equal([0]))
  })

  it('leaves no call behind, however often it was dropped', async () => {
    const following = follow()
    await caughtUp(following)
    for (let i = 1; i <= 120; i++) {
      standIn.drop('slow')
      await eventually(async () => expect(following.said.length).to.equal(1 + 2 * i))
    }
    let batches = 0
    for (let i = 0; i < 120; i++) {
      for await (const _ of store.subscribe(null, ['s-'], stop.signal)) {
        batches++
        break
      }
    }
    expect(batches).to.equal(120)
    expect(await store.head()).to.be.a('string')
  })
}
