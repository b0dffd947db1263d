import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts'
import { appendUntilKnown } from '../../src/application/append.ts'
import {
  type Batch,
  ConflictError,
  type EventStore,
  StoreUnavailableError,
  UnknownOutcomeError,
} from '../../src/application/ports.ts'
import { DamagedError } from '../../src/domain/errors.ts'
import type { NewEvent, StoredEvent } from '../../src/domain/events.ts'
import { eventually } from '../support/eventually.ts'
import { countingTelemetry } from '../support/pieces.ts'
import type { AppendFault } from '../support/standIn/faults.ts'
import { type StandInProcess, startStandInProcess } from '../support/standIn/process.ts'
import { type StandIn, startStandIn } from '../support/standIn/standIn.ts'
import { REAL_URL } from './eventstoredb.server.ts'
import { makeEvent, rejection } from './fixtures.ts'

/** A second for a call and as much for a slow machine. */
const BOUND_MS = 2_500

// A real server does not misbehave on command.
if (!REAL_URL) describe('EventStoreDB (stand-in), misbehaving', faults)

function faults(this: Mocha.Suite): void {
  this.timeout(30_000)
  let standIn: StandIn
  let store: EventStore
  const opened: EventStore[] = []

  const open = async (...args: Parameters<typeof openEventStoreDb>): Promise<EventStore> => {
    const another = await openEventStoreDb(...args)
    opened.push(another)
    return another
  }

  beforeEach(async () => {
    standIn = await startStandIn()
    store = await open(standIn.url)
  })
  afterEach(async () => {
    standIn.thaw()
    await Promise.all(opened.splice(0).map((each) => each.close()))
    await standIn.kill()
  })

  const many = (count: number): NewEvent[] => Array.from({ length: count }, () => makeEvent())
  const append = (stream: string, expected: number | 'no_stream', events: NewEvent[]) =>
    appendUntilKnown({ store, telemetry: countingTelemetry() }, stream, expected, events)

  async function timed(work: Promise<unknown>): Promise<{ result: unknown; ms: number }> {
    const started = performance.now()
    const result = await work.catch((error: unknown) => error)
    return { result, ms: performance.now() - started }
  }

  describe('an append', () => {
    const unknownOutcomes: [what: string, fault: AppendFault][] = [
      [
        'is stored and its connection breaks',
        { kind: 'fail', code: 13, details: 'Received RST_STREAM with code 2' },
      ],
      ['is stored and the server shuts down', { kind: 'fail', code: 14, details: 'Connection dropped' }],
      ['is stored and runs into its deadline', { kind: 'fail', code: 4, details: 'Deadline exceeded' }],
      ['is stored after everybody has given up waiting', { kind: 'late', milliseconds: 1_600 }],
      ['is neither stored nor answered', { kind: 'swallow' }],
      [
        'is not stored in time',
        { kind: 'fail', code: 10, details: 'Operation timed out: Commit phase timeout' },
      ],
    ]
    for (const [what, fault] of unknownOutcomes) {
      it(`that ${what} has an unknown outcome, and takes effect once when it is sent again`, async () => {
        const events = many(3)
        standIn.nextAppend(fault)
        const { result, ms } = await timed(store.append('s-1', 'no_stream', events))
        expect(result).to.be.instanceOf(UnknownOutcomeError)
        expect(ms).to.be.below(BOUND_MS)
        expect((await append('s-1', 'no_stream', events)).revision).to.equal(2)
        expect((await store.readStream('s-1')).map(({ id }) => id)).to.deep.equal(events.map(({ id }) => id))
      })
    }

    it('that meets a server which has just started is sent until it is ready', async () => {
      standIn.notReady(900)
      expect((await append('s-1', 'no_stream', many(1))).revision).to.equal(0)
    })

    it('that is refused names the revision the server told', async () => {
      standIn.nextAppend({ kind: 'conflict', actual: 41 })
      const error = await rejection(store.append('s-1', 'no_stream', many(1)))
      expect(error).to.be.instanceOf(ConflictError).with.property('actual', 41)
    })

    it('that a deleted stream only seems to take is damage', async () => {
      standIn.nextAppend({ kind: 'deleted' })
      expect(await rejection(store.append('s-1', 'no_stream', many(1)))).to.be.instanceOf(DamagedError)
    })

    it('that is too large for a server which takes less is no outage', async () => {
      const more = { exception: 'maximum-append-size-exceeded', 'maximum-append-size': '1024' }
      standIn.nextAppend({ kind: 'fail', code: 3, details: 'Maximum Append Size of 1024 Exceeded.', more })
      expect(await rejection(store.append('s-1', 'no_stream', many(1)))).to.be.instanceOf(RangeError)
    })

    it('to a server that is not there was not done', async () => {
      await standIn.kill()
      const { result, ms } = await timed(store.append('s-1', 'no_stream', many(1)))
      expect(result).to.be.instanceOf(StoreUnavailableError)
      expect(ms).to.be.below(BOUND_MS)
      await standIn.restart()
      await eventually(() => store.append('s-1', 'no_stream', many(1)))
    })

    it('whose server dies has an unknown outcome', async () => {
      standIn.nextAppend({ kind: 'swallow' })
      const appending = rejection(store.append('s-1', 'no_stream', many(1)))
      await sleep(100)
      await standIn.kill()
      expect(await appending).to.be.instanceOf(UnknownOutcomeError)
    })

    it('is not done when the age limit of its stream cannot be set', async () => {
      const limited = await open(standIn.url, { maxAge: { prefix: 's-', seconds: 60 } })
      for (const fault of [{ kind: 'swallow' }, { kind: 'fail', code: 13, details: '' }] as const) {
        standIn.nextAppend(fault)
        const { result, ms } = await timed(limited.append('s-1', 'no_stream', many(1)))
        expect(result).to.be.instanceOf(StoreUnavailableError)
        expect(ms).to.be.below(BOUND_MS)
        expect(standIn.log.stream('s-1')).to.equal(null)
      }
      await limited.append('s-1', 'no_stream', many(1))
      expect(standIn.log.stream('$$s-1')).to.have.length(1)
    })

    it('waits for its turn no longer than for an answer', async () => {
      standIn.freeze()
      const settled = await Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          timed(store.append('s-1', i === 0 ? 'no_stream' : i - 1, many(1))),
        ),
      )
      for (const { result, ms } of settled) {
        expect(result).to.satisfy(
          (error: unknown) => error instanceof UnknownOutcomeError || error instanceof StoreUnavailableError,
        )
        expect(ms).to.be.below(BOUND_MS)
      }
    })
  })

  describe('a frozen server', () => {
    it('is an outage to a read and an unknown outcome to an append, in time', async () => {
      await store.append('s-1', 'no_stream', many(1))
      standIn.freeze()
      const [appended, read, head] = await Promise.all([
        timed(store.append('s-1', 0, many(1))),
        timed(store.readStream('s-1')),
        timed(store.head()),
      ])
      expect(appended.result).to.be.instanceOf(UnknownOutcomeError)
      expect(read.result).to.be.instanceOf(StoreUnavailableError)
      expect(head.result).to.be.instanceOf(StoreUnavailableError)
      for (const { ms } of [appended, read, head]) expect(ms).to.be.below(BOUND_MS)
    })

    it('is given up by a command in less than 5 s', async () => {
      await store.readStream('s-1')
      standIn.freeze()
      const { result, ms } = await timed(append('s-1', 'no_stream', many(1)))
      expect(result).to.be.instanceOf(UnknownOutcomeError)
      expect(ms).to.be.below(4_500)
    })

    it('does an append when it thaws, which is then recognised', async () => {
      const events = many(2)
      standIn.freeze()
      expect(await rejection(store.append('s-1', 'no_stream', events))).to.be.instanceOf(UnknownOutcomeError)
      standIn.thaw()
      expect((await append('s-1', 'no_stream', events)).revision).to.equal(1)
      expect(await store.readStream('s-1')).to.have.length(2)
    })
  })

  describe('a server that is a process', () => {
    let server: StandInProcess
    beforeEach(async () => {
      server = await startStandInProcess()
      store = await open(server.url)
    })
    afterEach(() => server.kill())

    it('may be stopped and go on', async () => {
      const events = many(1)
      await store.head()
      server.child.kill('SIGSTOP')
      const { result, ms } = await timed(store.append('s-1', 'no_stream', events))
      server.child.kill('SIGCONT')
      expect(result).to.be.instanceOf(UnknownOutcomeError)
      expect(ms).to.be.below(BOUND_MS)
      expect((await append('s-1', 'no_stream', events)).revision).to.equal(0)
      expect(await store.readStream('s-1')).to.have.length(1)
    })

    it('may be killed with appends under way, whose outcome nobody knows', async () => {
      await server.command('late 5000')
      const appending = rejection(store.append('s-1', 'no_stream', many(1)))
      await sleep(200)
      await server.kill()
      expect(await appending).to.be.instanceOf(UnknownOutcomeError)
      const error = await rejection(store.append('s-1', 'no_stream', many(1)))
      expect(error).to.be.instanceOf(StoreUnavailableError)
    })

    it('does what it is told, and says so when it cannot', async () => {
      await server.command('conflict 7')
      const error = await rejection(store.append('s-1', 'no_stream', many(1)))
      expect(error).to.be.instanceOf(ConflictError).with.property('actual', 7)
      expect(String(await rejection(server.command('dance')))).to.contain('none of freeze, thaw')
    })
  })

  describe('a follower', () => {
    it('serves nothing: the leader is asked instead', async () => {
      const leader = await startStandIn()
      try {
        await store.append('s-1', 'no_stream', many(1))
        leader.log.append('s-2', -1, [
          {
            id: '1',
            type: 'T',
            contentType: 'application/json',
            data: Buffer.from('1'),
            metadata: Buffer.from('2'),
          },
        ])
        standIn.followLeader({ host: '127.0.0.1', port: leader.port })
        await eventually(async () => expect(await store.readStream('s-2')).to.have.length(1))
        expect(await store.readStream('s-1')).to.deep.equal([])
        await store.append('s-3', 'no_stream', many(1))
        expect(leader.log.stream('s-3')).to.have.length(1)
      } finally {
        await leader.kill()
      }
    })
  })

  describe('a subscription', () => {
    let stop: AbortController
    beforeEach(() => {
      stop = new AbortController()
    })
    afterEach(() => stop.abort())

    /** Reads on by itself, up to an event, and keeps all that was said. */
    function follow(after: string | null = null, count = Number.POSITIVE_INFINITY) {
      const events: StoredEvent[] = []
      const said: boolean[] = []
      const done = (async () => {
        for await (const batch of store.subscribe(after, ['s-'], stop.signal)) {
          events.push(...batch.events)
          said.push(batch.caughtUp)
          if (events.length >= count) return
        }
      })()
      return { events, said, done, isCaughtUp: () => said.at(-1) === true }
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
      const frozenAt = performance.now()
      await eventually(async () => expect(following.isCaughtUp()).to.equal(false))
      expect(performance.now() - frozenAt).to.be.below(5_000)
      await sleep(1_500)
      standIn.thaw()
      const thawedAt = performance.now()
      await store.append('s-1', 'no_stream', many(1))
      await eventually(async () => expect(following.events).to.have.length(1))
      await caughtUp(following)
      expect(performance.now() - thawedAt).to.be.below(6_000)
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

    it('leaves no call behind, however often it was dropped', async () => {
      const following = follow()
      await caughtUp(following)
      for (let i = 1; i <= 120; i++) {
        standIn.drop('slow')
        await eventually(async () => expect(following.said.length).to.equal(1 + 2 * i))
      }
      const batches: Batch[] = []
      for (let i = 0; i < 120; i++) {
        for await (const batch of store.subscribe(null, ['s-'], stop.signal)) {
          batches.push(batch)
          break
        }
      }
      expect(batches).to.have.length(120)
      expect(await store.head()).to.be.a('string')
    })
  })
}
