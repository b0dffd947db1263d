import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import type { Batch, EventStore } from '../../src/application/ports/eventStore.ts'
import { ConflictError } from '../../src/application/ports/errors.ts'
import type { StoredEvent } from '../../src/domain/events.ts'
import { makeEvent, rejection } from './fixtures.ts'

export interface EventStoreHarness {
  store: EventStore
  dispose(): Promise<void>
}

/**
 * What every event store must do. The log may hold events of other tests: this suite reads only streams of its own, so
 * all suites can share one server.
 */
export function eventStoreContract(name: string, makeHarness: () => Promise<EventStoreHarness>): void {
  describe(`${name} as an event store`, () => {
    let harness: EventStoreHarness
    let store: EventStore
    let prefix: string
    beforeEach(async () => {
      harness = await makeHarness()
      store = harness.store
      prefix = `contract${randomUUID().replaceAll('-', '')}`
    })
    afterEach(() => harness.dispose())

    const streamOf = (suffix = 'a'): string => `${prefix}-${suffix}`

    const ownEvents = async (after: string | null): Promise<StoredEvent[]> => {
      const all: StoredEvent[] = []
      for await (const events of store.readAll(after)) all.push(...events)
      return all.filter(({ stream }) => stream.startsWith(prefix))
    }

    it('closes once, however many ask for it at once', async () => {
      const written = store.append(streamOf(), 'no_stream', [makeEvent()])
      await Promise.all([written.catch(() => null), store.close(), store.close()])
      await store.close()
    })

    describe('append', () => {
      it('gives the revision and position of the last event', async () => {
        const first = await store.append(streamOf(), 'no_stream', [makeEvent(), makeEvent()])
        const second = await store.append(streamOf(), 1, [makeEvent()])
        const stored = await store.readStream(streamOf())
        expect([first.revision, second.revision]).to.deep.equal([1, 2])
        expect([first.position, second.position]).to.deep.equal([stored[1]?.position, stored[2]?.position])
        expect(second.position > first.position).to.equal(true)
      })

      it('keeps every member of an event as it was', async () => {
        const event = makeEvent({
          count: 7,
          text: 'zwölf "\u0000\u2028 🐘 \'',
          list: [1, 0.1, null, true],
          nested: { a: {} },
        })
        await store.append(streamOf(), 'no_stream', [event])
        const [stored] = await store.readStream(streamOf())
        const { position, ...rest } = stored ?? { position: '' }
        expect(rest).to.deep.equal({ ...event, stream: streamOf(), revision: 0 })
        expect(position).to.be.a('string').and.not.equal('')
      })

      it('refuses a stream that exists when none was expected', async () => {
        await store.append(streamOf(), 'no_stream', [makeEvent(), makeEvent()])
        const error = await rejection(store.append(streamOf(), 'no_stream', [makeEvent()]))
        expect(error).to.be.instanceOf(ConflictError).with.property('actual', 1)
        expect(await store.readStream(streamOf())).to.have.length(2)
      })

      it('refuses a revision that is behind or ahead of the stream', async () => {
        await store.append(streamOf(), 'no_stream', [makeEvent(), makeEvent()])
        const behind = await rejection(store.append(streamOf(), 0, [makeEvent()]))
        const ahead = await rejection(store.append(streamOf(), 5, [makeEvent()]))
        expect(behind).to.be.instanceOf(ConflictError).with.property('actual', 1)
        expect(ahead).to.be.instanceOf(ConflictError).with.property('actual', 1)
      })

      it('refuses a revision of a stream that has no event', async () => {
        const error = await rejection(store.append(streamOf(), 0, [makeEvent()]))
        expect(error).to.be.instanceOf(ConflictError).with.property('actual', -1)
      })

      it('takes 1 to 100 events', async () => {
        const many = Array.from({ length: 101 }, () => makeEvent())
        expect(await rejection(store.append(streamOf(), 'no_stream', []))).to.be.instanceOf(RangeError)
        expect(await rejection(store.append(streamOf(), 'no_stream', many))).to.be.instanceOf(RangeError)
        expect((await store.append(streamOf(), 'no_stream', many.slice(1))).revision).to.equal(99)
      })

      it('lets exactly one of many win the same revision', async () => {
        await store.append(streamOf(), 'no_stream', [makeEvent()])
        const attempts = Array.from({ length: 20 }, () => store.append(streamOf(), 0, [makeEvent()]))
        const settled = await Promise.allSettled(attempts)
        const refused = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
        expect(refused).to.have.length(19)
        for (const reason of refused) expect(reason).to.be.instanceOf(ConflictError)
        expect(await store.readStream(streamOf())).to.have.length(2)
      })

      it('does not let a conflict harm its neighbours', async () => {
        await store.append(streamOf('taken'), 'no_stream', [makeEvent()])
        const streams = Array.from({ length: 20 }, (_, i) => streamOf(`n${i}`))
        const good = streams.map((stream) => store.append(stream, 'no_stream', [makeEvent()]))
        const bad = rejection(store.append(streamOf('taken'), 'no_stream', [makeEvent()]))
        const late = store.append(streamOf('late'), 'no_stream', [makeEvent()])
        expect(await bad).to.be.instanceOf(ConflictError)
        for (const { revision } of await Promise.all([...good, late])) expect(revision).to.equal(0)
      })
    })

    describe('the same append sent again', () => {
      const [a, b, c, d] = [makeEvent(), makeEvent(), makeEvent(), makeEvent()]

      it('takes effect once and gives the first answer', async () => {
        const first = await store.append(streamOf(), 'no_stream', [a, b, c])
        expect(await store.append(streamOf(), 'no_stream', [a, b, c])).to.deep.equal(first)
        expect(await store.readStream(streamOf())).to.have.length(3)
      })

      it('gives the first answer when the stream has grown since', async () => {
        await store.append(streamOf(), 'no_stream', [makeEvent()])
        const first = await store.append(streamOf(), 0, [a, b])
        await store.append(streamOf(), 2, [makeEvent(), makeEvent()])
        expect(await store.append(streamOf(), 0, [a, b])).to.deep.equal(first)
        expect(await store.readStream(streamOf())).to.have.length(5)
      })

      it('takes effect once when both are on their way together', async () => {
        const send = () => store.append(streamOf(), 'no_stream', [a, b])
        const [first, second] = await Promise.all([send(), send()])
        expect(second).to.deep.equal(first)
        expect(await store.readStream(streamOf())).to.have.length(2)
      })

      it('counts as the same with a leading part of its events', async () => {
        await store.append(streamOf(), 'no_stream', [a, b, c])
        expect((await store.append(streamOf(), 'no_stream', [a, b])).revision).to.equal(1)
      })

      for (const [what, events] of [
        ['the tail only', [b, c]],
        ['another order', [b, a, c]],
        ['an old event and a new one', [a, b, c, d]],
        ['a new event', [d]],
      ] as const) {
        it(`is a conflict with ${what}`, async () => {
          await store.append(streamOf(), 'no_stream', [a, b, c])
          const error = await rejection(store.append(streamOf(), 'no_stream', events))
          expect(error).to.be.instanceOf(ConflictError).with.property('actual', 2)
          expect(await store.readStream(streamOf())).to.have.length(3)
        })
      }

      it('is a conflict at another revision', async () => {
        await store.append(streamOf(), 'no_stream', [a, b])
        expect(await rejection(store.append(streamOf(), 0, [a, b]))).to.be.instanceOf(ConflictError)
        expect(await rejection(store.append(streamOf(), 7, [a, b]))).to.be.instanceOf(ConflictError)
      })
    })

    describe('readStream', () => {
      it('gives nothing for a stream that does not exist', async () => {
        expect(await store.readStream(streamOf())).to.deep.equal([])
      })

      it('starts at a revision and stops at a limit', async () => {
        await store.append(
          streamOf(),
          'no_stream',
          Array.from({ length: 10 }, () => makeEvent()),
        )
        const revisions = async (...range: [number?, number?]) =>
          (await store.readStream(streamOf(), ...range)).map(({ revision }) => revision)
        expect(await revisions(7)).to.deep.equal([7, 8, 9])
        expect(await revisions(2, 3)).to.deep.equal([2, 3, 4])
        expect(await revisions(10)).to.deep.equal([])
        expect(await revisions(11)).to.deep.equal([])
      })

      it('gives all of a long one, in order, with no more than the limit', async () => {
        for (let last = -1; last < 249; last += 50) {
          const many = Array.from({ length: 50 }, () => makeEvent())
          await store.append(streamOf(), last < 0 ? 'no_stream' : last, many)
        }
        const revisions = async (...range: [number?, number?]) =>
          (await store.readStream(streamOf(), ...range)).map(({ revision }) => revision)
        const all = Array.from({ length: 250 }, (_, i) => i)
        expect(await revisions()).to.deep.equal(all)
        expect(await revisions(49)).to.deep.equal(all.slice(49))
        for (const limit of [0, 1, 99, 100, 101, 200, 201, 220, 500]) {
          expect(await revisions(30, limit), String(limit)).to.deep.equal(all.slice(30, 30 + limit))
        }
      })

      it('does not mix streams whose names begin alike', async () => {
        await store.append(streamOf('x'), 'no_stream', [makeEvent()])
        await store.append(streamOf('xy'), 'no_stream', [makeEvent(), makeEvent()])
        expect(await store.readStream(streamOf('x'))).to.have.length(1)
      })
    })

    describe('readAll and head', () => {
      it('gives all events of all streams in log order, over several batches', async () => {
        const before = await store.head()
        const sent: string[] = []
        for (let i = 0; i < 11; i++) {
          const events = Array.from({ length: 100 }, () => makeEvent())
          const expected = i < 2 ? 'no_stream' : Math.floor(i / 2) * 100 - 1
          await store.append(streamOf(i % 2 ? 'odd' : 'even'), expected, events)
          sent.push(...events.map(({ id }) => id))
        }
        const read = await ownEvents(before)
        expect(read.map(({ id }) => id)).to.deep.equal(sent)
        const positions = read.map(({ position }) => position)
        expect(positions).to.deep.equal([...positions].sort())
        expect(new Set(positions).size).to.equal(positions.length)
      })

      it('goes on behind a position', async () => {
        const { position } = await store.append(streamOf(), 'no_stream', [makeEvent(), makeEvent()])
        const last = makeEvent()
        await store.append(streamOf(), 1, [last])
        expect((await ownEvents(position)).map(({ id }) => id)).to.deep.equal([last.id])
      })

      it('knows the position of the newest event', async () => {
        const { position } = await store.append(streamOf(), 'no_stream', [makeEvent()])
        expect((await store.head()) ?? '').to.satisfy((head: string) => head >= position)
      })
    })

    describe('at', () => {
      it('gives the event at a position, whichever of an append it is', async () => {
        await store.append(streamOf(), 'no_stream', [makeEvent(), makeEvent(), makeEvent()])
        for (const event of await store.readStream(streamOf())) {
          expect(await store.at(event.position)).to.deep.equal(event)
        }
      })

      it('gives nothing where there is none', async () => {
        const { position } = await store.append(streamOf(), 'no_stream', [makeEvent()])
        const beyond = position.replace(/\d/, '9')
        expect(beyond > ((await store.head()) ?? '')).to.equal(true)
        expect(await store.at(beyond)).to.equal(null)
        for (const other of ['', '7', 'x', '0000000000000001', `${'0'.repeat(19)}9-${'0'.repeat(19)}9`])
          if (other.length !== position.length) expect(await store.at(other), other).to.equal(null)
      })

      it('gives nothing between two events', async () => {
        const { position } = await store.append(streamOf(), 'no_stream', [makeEvent(), makeEvent()])
        const between = position.replaceAll(/\d+/g, (digits) =>
          String(BigInt(digits) - 1n).padStart(digits.length, '0'),
        )
        const found = await store.at(between)
        expect(found === null || found === 'never' || found.position === between).to.equal(true)
      })
    })

    describe('subscribe', () => {
      let stop: AbortController

      beforeEach(() => {
        stop = new AbortController()
      })
      afterEach(() => stop.abort())

      const subscribe = (after: string | null, prefixes = [prefix]): AsyncIterator<Batch> =>
        store.subscribe(after, prefixes, stop.signal)[Symbol.asyncIterator]()

      /** Takes batches until it has `count` events, or, without a count, until a batch says that the end is reached. */
      async function take(batches: AsyncIterator<Batch>, count?: number): Promise<StoredEvent[]> {
        const events: StoredEvent[] = []
        for (;;) {
          const { value, done } = await batches.next()
          if (done) return events
          events.push(...value.events)
          if (count === undefined ? value.caughtUp : events.length >= count) return events
        }
      }

      it('says that the end is reached even when there is nothing', async () => {
        const batches = subscribe(await store.head())
        expect(await take(batches)).to.deep.equal([])
      })

      it('gives the past, says when that was all, then gives what comes', async () => {
        const before = await store.head()
        const [a, b, c] = [makeEvent(), makeEvent(), makeEvent()]
        await store.append(streamOf(), 'no_stream', [a, b])
        const batches = subscribe(before)
        expect((await take(batches)).map(({ id }) => id)).to.deep.equal([a.id, b.id])
        const coming = take(batches, 1)
        await store.append(streamOf(), 1, [c])
        expect((await coming).map(({ id, revision }) => [id, revision])).to.deep.equal([[c.id, 2]])
      })

      it('gives the events of streams with one of the prefixes only', async () => {
        const before = await store.head()
        for (const suffix of ['left', 'middle', 'right'])
          await store.append(streamOf(suffix), 'no_stream', [makeEvent()])
        const batches = subscribe(before, [streamOf('left'), streamOf('right')])
        expect((await take(batches)).map(({ stream }) => stream)).to.deep.equal([
          streamOf('left'),
          streamOf('right'),
        ])
      })

      it('goes on behind a position', async () => {
        const { position } = await store.append(streamOf(), 'no_stream', [makeEvent()])
        const next = makeEvent()
        await store.append(streamOf(), 0, [next])
        expect((await take(subscribe(position))).map(({ id }) => id)).to.deep.equal([next.id])
      })

      it('loses and repeats nothing while events are written', async () => {
        const before = await store.head()
        const writing = (async () => {
          for (let i = 0; i < 60; i++) {
            const events = Array.from({ length: 20 }, () => makeEvent())
            await store.append(streamOf(), i === 0 ? 'no_stream' : i * 20 - 1, events)
          }
        })()
        const seen = await take(subscribe(before), 1_200)
        await writing
        expect(seen.map(({ revision }) => revision)).to.deep.equal(Array.from({ length: 1_200 }, (_, i) => i))
      })

      it('serves several at once', async () => {
        const before = await store.head()
        const both = [subscribe(before), subscribe(before)].map((batches) => take(batches, 1))
        await store.append(streamOf(), 'no_stream', [makeEvent()])
        expect((await Promise.all(both)).map(({ length }) => length)).to.deep.equal([1, 1])
      })

      it('ends when it is aborted, also while it waits', async () => {
        const batches = subscribe(await store.head())
        await take(batches)
        const waiting = batches.next()
        stop.abort()
        expect((await waiting).done).to.equal(true)
      })
    })
  })
}
