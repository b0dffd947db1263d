import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import type { Instant } from '../../../../src/application/ports/clock.ts'
import { StoreUnavailableError, UnknownOutcomeError } from '../../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { createFreshness } from '../../../../src/application/sharing/freshness.ts'
import { HEARTBEAT_STREAM, usageStream } from '../../../../src/domain/streams.ts'
import { makeEvent } from '../../../contract/fixtures.ts'
import { eventually, gate } from '../../../support/suite/eventually.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }
const USAGE = usageStream(ids.random(), '2026-11-22T00:00:00.000Z')

/** A process whose clocks and appends the test moves, and whose documents follow the log when the test says so. */
function lab() {
  const memory = memoryStore()
  const clock = { monotonic: 10_000, wall: 1_000_000 }
  const faults: (Error | Promise<void>)[] = []
  // Two readings are never the same.
  const now = (): Instant => ({ monotonic: (clock.monotonic += 0.001), wall: clock.wall })
  const store: EventStore = {
    ...memory.store,
    async append(...what) {
      const fault = faults.shift()
      if (fault instanceof UnknownOutcomeError) await memory.store.append(...what)
      if (fault instanceof Error) throw fault
      await fault
      return memory.store.append(...what)
    },
  }
  const freshness = createFreshness({
    store,
    clock: () => clock.wall,
    ids,
    telemetry: { log: SILENT },
    now,
    changeMs: 5_000,
  })
  return {
    memory,
    freshness,
    faults,
    usage: freshness.noticing(store),
    /** Time goes by for a running or stopped process; for one on a suspended machine the monotonic clock stands still. */
    pass(ms: number, how: 'awake' | 'suspended' | 'set back' = 'awake') {
      if (how !== 'suspended') clock.monotonic += ms
      clock.wall += how === 'set back' ? -ms : ms
    },
    apply: () => freshness.follower.applied(memory.log),
    heartbeats: () => memory.log.filter(({ stream }) => stream.startsWith(HEARTBEAT_STREAM)).length,
  }
}

const failed = (wait: Promise<void>): Promise<unknown> =>
  wait.then(
    () => null,
    (error: unknown) => error,
  )

/** Applies all that comes, as a projector does, until the promise is settled. */
async function following<T>({ apply }: ReturnType<typeof lab>, wait: Promise<T>): Promise<T> {
  const timer = setInterval(apply, 1)
  return wait.finally(() => clearInterval(timer))
}

describe('a read model that belongs to one of several processes', () => {
  it('is fresh once an append of its process is acknowledged and applied, in whatever order', async () => {
    const one = lab()
    expect(one.freshness.isFresh()).to.equal(false)
    const first = await one.usage.append(USAGE, 'no_stream', [makeEvent()])
    expect(one.freshness.isFresh(), 'acknowledged').to.equal(false)
    one.apply()
    expect(one.freshness.isFresh(), 'and applied').to.equal(true)

    const other = lab()
    const { opened, open } = gate()
    const usage = other.freshness.noticing({
      ...other.memory.store,
      async append(...what) {
        const done = await other.memory.store.append(...what)
        await opened
        return done
      },
    })
    const appending = usage.append(USAGE, 'no_stream', [makeEvent()])
    await eventually(() => expect(other.memory.log).to.have.length(1))
    other.apply()
    expect(other.freshness.isFresh(), 'applied').to.equal(false)
    open()
    expect((await appending).revision).to.equal(first.revision)
    expect(other.freshness.isFresh(), 'and acknowledged').to.equal(true)
  })

  it('is fresh for less than 2 s from the beginning of that append, not from its acknowledgement', async () => {
    const one = lab()
    const { opened, open } = gate()
    one.faults.push(opened)
    const appending = one.usage.append(USAGE, 'no_stream', [makeEvent()])
    one.pass(1_500)
    open()
    await appending
    one.apply()
    expect(one.freshness.isFresh()).to.equal(true)
    one.pass(499)
    expect(one.freshness.isFresh()).to.equal(true)
    one.pass(1)
    expect(one.freshness.isFresh()).to.equal(false)
  })

  it('takes a new proof where the time of day alone says that the newest one is old', async () => {
    const { freshness, pass, ...one } = lab()
    await following({ freshness, pass, ...one }, freshness.fresh())
    pass(10_000, 'suspended')
    expect(freshness.isFresh()).to.equal(false)
    await following({ freshness, pass, ...one }, freshness.fresh())
    expect([freshness.isFresh(), one.heartbeats()]).to.deep.equal([true, 2])
    await freshness.stop()
  })

  for (const how of ['awake', 'suspended', 'set back'] as const) {
    it(`is not fresh after 2 s by one of two clocks: ${how}`, async () => {
      const one = lab()
      await one.usage.append(USAGE, 'no_stream', [makeEvent()])
      one.apply()
      one.pass(2_001, how)
      expect(one.freshness.isFresh()).to.equal(false)
    })
  }

  it('is not made fresh by what others may write, nor by appends to the streams of tokens', async () => {
    const one = lab()
    await one.memory.store.append(USAGE, 'no_stream', [makeEvent()])
    await one.usage.append(`apiToken-${ids.random()}`, 'no_stream', [makeEvent()])
    one.apply()
    expect(one.freshness.isFresh()).to.equal(false)
  })

  it('is as fresh as the first try where an append is sent again: a server that was cut off may know its answer', async () => {
    for (const by of ['usage', 'heartbeat'] as const) {
      const one = lab()
      const event = makeEvent()
      const send = async () => {
        if (by === 'usage') await one.usage.append(USAGE, 'no_stream', [event])
        else await one.freshness.fresh()
      }
      // There are two streams of heartbeats, and the other one would take a new one.
      for (const _ of by === 'usage' ? ['stream'] : ['stream', 'other stream']) {
        one.faults.push(new UnknownOutcomeError('no answer'))
        expect(await failed(send()), by).to.be.instanceOf(Error)
      }
      one.pass(2_001)
      // The answer to the repetition comes, and nothing new can be written.
      one.faults.push(Promise.resolve(), new StoreUnavailableError('cut off'))
      await failed(following(one, send()))
      one.apply()
      expect(one.freshness.isFresh(), by).to.equal(false)
    }
  })

  it('is not fresh when its documents begin anew', async () => {
    const one = lab()
    await one.usage.append(USAGE, 'no_stream', [makeEvent()])
    one.apply()
    one.freshness.follower.begins()
    expect(one.freshness.isFresh()).to.equal(false)
    one.apply()
    expect(one.freshness.isFresh(), 'an old append is no proof of new documents').to.equal(false)
  })

  it('is not fresh by what was appended before it lost sight of its log, which may be another one now', async () => {
    const one = lab()
    await one.usage.append(USAGE, 'no_stream', [makeEvent()])
    const { opened, open } = gate()
    one.faults.push(opened)
    const underWay = one.usage.append(USAGE, 0, [makeEvent()])
    one.freshness.follower.begins()
    one.apply()
    expect(one.freshness.isFresh(), 'acknowledged before').to.equal(false)
    open()
    await underWay
    one.apply()
    expect(one.freshness.isFresh(), 'acknowledged since').to.equal(false)
    await one.usage.append(USAGE, 1, [makeEvent()])
    one.apply()
    expect(one.freshness.isFresh(), 'begun since').to.equal(true)
  })

  it('is not fresh any more once a stream of its own is not what it was', async () => {
    for (const by of ['usage', 'heartbeat'] as const) {
      const one = lab()
      await one.usage.append(USAGE, 'no_stream', [makeEvent()])
      await following(one, one.freshness.provenNow())
      one.memory.log.length = 0
      const work = by === 'usage' ? one.usage.append(USAGE, 0, [makeEvent()]) : one.freshness.provenNow()
      expect(await failed(work as Promise<never>), by).to.be.instanceOf(Error)
      expect(one.freshness.isFresh(), by).to.equal(false)
      await one.freshness.stop()
    }
  })

  it('writes a heartbeat where there is no proof, and none where there is', async () => {
    const one = lab()
    await following(one, one.freshness.fresh())
    expect([one.heartbeats(), one.freshness.heartbeats()]).to.deep.equal([1, 1])
    await one.freshness.fresh()
    one.pass(1_900)
    await one.usage.append(USAGE, 'no_stream', [makeEvent()])
    one.apply()
    one.pass(1_900)
    await one.freshness.fresh()
    expect(one.heartbeats()).to.equal(1)
    one.pass(101)
    await following(one, one.freshness.fresh())
    expect(one.heartbeats()).to.equal(2)
  })

  it('waits for a proof that begins after the question, and one serves all who wait', async () => {
    const one = lab()
    const { opened, open } = gate()
    one.faults.push(opened)
    const first = one.freshness.provenNow()
    await eventually(() => expect(one.faults).to.have.length(0))
    const later = Array.from({ length: 50 }, () => one.freshness.provenNow())
    open()
    await following(one, Promise.all([first, ...later]))
    expect(one.heartbeats(), 'the one under way, and one for all who came later').to.equal(2)
  })

  it('waits for no heartbeat whose answer is lost, but for the next one', async () => {
    const one = lab()
    const { opened, open } = gate()
    one.faults.push(opened)
    const first = failed(one.freshness.provenNow())
    await eventually(() => expect(one.faults).to.have.length(0))
    await following(one, one.freshness.provenNow())
    expect(await first, 'a later proof is as good').to.equal(null)
    open()
    await one.freshness.stop()
  })

  it('answers a question, but no look-up, by a proof that took longer than it is trusted', async () => {
    const one = lab()
    const { opened, open } = gate()
    one.faults.push(opened)
    const asked = one.freshness.provenAsAsked()
    let isLookedUp = false
    const lookUp = one.freshness.provenNow().then(() => (isLookedUp = true))
    await eventually(() => expect(one.faults).to.have.length(0))
    one.pass(2_001)
    open()
    await following(one, asked)
    expect([isLookedUp, one.freshness.isFresh()]).to.deep.equal([false, false])
    await following(one, lookUp)
    expect(one.freshness.isFresh()).to.equal(true)
  })

  it('has at most ten heartbeats a second, however many ask, and as many at once after a pause', async () => {
    const one = lab()
    const asking = async () => {
      for (let n = 0; n < 10; n++) await one.freshness.provenNow()
      const waiting = one.freshness.provenNow()
      await sleep(50)
      expect(one.heartbeats(), 'before a tenth of a second').to.equal(10)
      await waiting
    }
    await following(one, asking())
    expect(one.heartbeats()).to.equal(11)
  })

  it('answers nobody where the store is silent, or an append is not read back', async () => {
    const one = lab()
    expect(await failed(one.freshness.fresh()), 'not applied').to.be.instanceOf(StoreUnavailableError)
    one.faults.push(new Promise(() => {}))
    expect(await failed(one.freshness.provenNow()), 'silent').to.be.instanceOf(StoreUnavailableError)
    expect(one.freshness.isFailing()).to.equal(true)
    // Only what is not under way any more can be waited for.
    void one.freshness.stop()
  })

  it('finds out by itself that it is fresh again where nothing happens in the log', async () => {
    const one = lab()
    one.faults.push(new StoreUnavailableError('refused'))
    expect(await failed(one.freshness.fresh())).to.be.instanceOf(StoreUnavailableError)
    // The next one is read back, sight is lost of the log, and only then its answer comes.
    const { opened, open } = gate()
    const { append } = one.memory.store
    one.memory.store.append = async (...what) => {
      const done = await append(...what)
      await opened
      return done
    }
    await eventually(() => expect(one.heartbeats()).to.equal(1))
    one.freshness.follower.begins()
    open()
    let seen = 1
    const timer = setInterval(() => {
      const events = one.memory.log.slice(seen)
      seen += events.length
      one.freshness.follower.applied(events)
    }, 1)
    await eventually(() => expect(one.freshness.isFailing()).to.equal(false)).finally(() =>
      clearInterval(timer),
    )
    await one.freshness.stop()
  })

  it('answers nobody where the store refuses, and finds out by itself when it does not any more', async () => {
    const one = lab()
    one.faults.push(new StoreUnavailableError('refused'))
    expect(await failed(one.freshness.fresh())).to.be.instanceOf(StoreUnavailableError)
    expect(one.freshness.isFailing()).to.equal(true)
    await following(
      one,
      eventually(() => expect(one.freshness.isFailing()).to.equal(false)),
    )
    await one.freshness.stop()
  })
})
