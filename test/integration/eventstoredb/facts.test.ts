import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AllStreamResolvedEvent,
  type AppendExpectedRevision,
  BACKWARDS,
  END,
  jsonEvent,
  MaxAppendSizeExceededError,
  NO_STREAM,
  type Position,
  START,
  StreamNotFoundError,
  streamNameFilter,
  TimeoutError,
  UnknownError,
  WrongExpectedVersionError,
} from '@eventstore/db-client'
import { expect } from 'chai'
import { onServers, type TestServer } from '../../contract/eventstoredb.server.ts'
import { rejection } from '../../contract/fixtures.ts'

/**
 * Checks on the server itself what the adapter relies on. A run against a real server shows where the stand-in is
 * wrong.
 */
onServers(['23.10', '24.10', '26.1'], (start) => {
  describe('as it behaves', () => factsOf(start))
})

function factsOf(start: () => Promise<TestServer>): void {
  let server: TestServer
  let stream: string

  before(async () => {
    server = await start()
  })
  after(() => server.stop())
  beforeEach(() => {
    stream = `facts${randomUUID().replaceAll('-', '')}-a`
  })

  const make = (count: number, data: object = {}) =>
    Array.from({ length: count }, () => jsonEvent({ type: 'Fact', data: { ...data } }))
  const append = (events: ReturnType<typeof make>, expectedRevision: AppendExpectedRevision, to = stream) =>
    server.client.appendToStream(to, events, { ...server.call, expectedRevision })

  async function readAll(fromPosition: Position | 'start'): Promise<AllStreamResolvedEvent[]> {
    const read = server.client.readAll({ ...server.call, fromPosition, maxCount: 100 })
    const events: AllStreamResolvedEvent[] = []
    for await (const event of read) events.push(event)
    return events
  }

  async function readStream(maxCount = 1_000): Promise<{ revision: bigint; position?: Position }[]> {
    const found: { revision: bigint; position?: Position }[] = []
    for await (const { event } of server.client.readStream(stream, { ...server.call, maxCount })) {
      if (event) found.push(event)
    }
    return found
  }

  /** A subscription that reads on by itself. `error` says how it ended. */
  function subscribe(fromPosition: Position | 'start' | 'end', prefix = stream) {
    const filter = streamNameFilter({ prefixes: [prefix] })
    const source = server.client.subscribeToAll({ ...server.call, fromPosition, filter })
    const seen: Position[] = []
    let error: unknown
    let saidCaughtUp = 0
    const caughtUp = new Promise<void>((resolve) => void source.on('caughtUp', resolve))
    source.on('caughtUp', () => saidCaughtUp++)
    source.on('data', ({ event }: AllStreamResolvedEvent) => event && seen.push(event.position))
    source.on('error', (reason) => {
      error = reason
    })
    return {
      seen,
      caughtUp,
      saidCaughtUp: () => saidCaughtUp,
      error: () => error,
      stop: () => source.unsubscribe(),
    }
  }

  async function until(condition: () => boolean): Promise<void> {
    for (const end = performance.now() + 10_000; !condition() && performance.now() < end; ) await sleep(10)
    expect(condition()).to.equal(true)
  }

  describe('appending', () => {
    it('answers the revision and the position of the last event, which a read of the stream gives too', async () => {
      const { nextExpectedRevision, position } = await append(make(3), NO_STREAM)
      expect(nextExpectedRevision).to.equal(2n)
      expect(position?.commit).to.equal(position?.prepare)
      expect((await readStream()).at(-1)?.position).to.deep.equal(position)
    })

    it('names the revision a stream is really at', async () => {
      await append(make(2), NO_STREAM)
      const stale = await rejection(append(make(1), NO_STREAM))
      expect(stale).to.be.instanceOf(WrongExpectedVersionError)
      expect(stale).to.include({ actualVersion: 1n, message: '' })
      const early = await rejection(append(make(1), 3n, `${stream}b`))
      expect(early).to.be.instanceOf(WrongExpectedVersionError).with.property('actualVersion', 'no_stream')
    })

    it('lets one of many win', async () => {
      const all = await Promise.allSettled(Array.from({ length: 20 }, () => append(make(1), NO_STREAM)))
      expect(all.filter(({ status }) => status === 'fulfilled')).to.have.length(1)
    })

    it('answers the first time again, with the original revision only', async () => {
      const events = make(3)
      const first = await append(events, NO_STREAM)
      await append(make(2), 2n)
      expect(await append(events, NO_STREAM)).to.deep.equal(first)
      expect((await append(events.slice(0, 2), NO_STREAM)).nextExpectedRevision).to.equal(1n)
      expect((await append(events, 4n)).nextExpectedRevision, 'appended again').to.equal(7n)
    })

    it('of nothing is a success that makes no stream', async () => {
      expect((await append([], NO_STREAM)).success).to.equal(true)
      expect(await rejection(readStream())).to.be.instanceOf(StreamNotFoundError)
    })

    it('takes 1 MiB at once, and more since 25.0', async () => {
      await append(make(10, { text: 'x'.repeat(100_000) }), NO_STREAM)
      const more = append(make(11, { text: 'x'.repeat(100_000) }), 9n)
      if (server.version === '26.1') expect((await more).nextExpectedRevision).to.equal(20n)
      else expect(await rejection(more)).to.be.instanceOf(MaxAppendSizeExceededError)
    })
  })

  describe('reading', () => {
    it('of a stream that was never written says so', async () => {
      expect(await rejection(readStream())).to.be.instanceOf(StreamNotFoundError)
    })

    it('finds no events of a stream past its age, whose revisions go on', async () => {
      await server.client.setStreamMetadata(
        stream,
        { maxAge: 2 },
        { ...server.call, expectedRevision: NO_STREAM },
      )
      await append(make(2), NO_STREAM)
      expect(await readStream()).to.have.length(2)
      await sleep(3_500)
      expect(await readStream()).to.deep.equal([])
      expect(await rejection(append(make(1), NO_STREAM))).to.have.property('actualVersion', 1n)
      await append(make(1), 1n)
      expect((await readStream()).map(({ revision }) => revision)).to.deep.equal([2n])
    })

    it('of everything begins with the event at the position itself, and has events of the server', async () => {
      await append(make(3), NO_STREAM)
      const [first] = await readStream()
      const found = await readAll(first?.position ?? START)
      const own = found.filter(({ event }) => event?.streamId === stream)
      expect(own.map(({ event }) => event?.revision)).to.deep.equal([0n, 1n, 2n])
      expect((await readAll(START)).some(({ event }) => event?.streamId.startsWith('$'))).to.equal(true)
    })

    it('backwards from the end begins with the newest event', async () => {
      const { position } = await append(make(1), NO_STREAM)
      const options = { ...server.call, direction: BACKWARDS, fromPosition: END, maxCount: 1 } as const
      for await (const { event } of server.client.readAll(options)) {
        expect((event?.position.commit ?? 0n) >= (position?.commit ?? 0n)).to.equal(true)
      }
    })
  })

  describe('a subscription', () => {
    it('goes on behind a position exactly, also in the middle of an append, in increasing order', async () => {
      await append(make(50), NO_STREAM)
      const positions = (await readStream()).map(({ position }) => position as Position)
      const { seen, caughtUp, stop } = subscribe(positions[20] ?? START)
      await caughtUp
      await append(make(50), 49n)
      await until(() => seen.length >= 79)
      await stop()
      const behind = (await readStream()).map(({ position }) => position).slice(21)
      expect(seen).to.deep.equal(behind)
      expect(seen.every(({ commit }, i) => i === 0 || commit > (seen[i - 1]?.commit ?? 0n))).to.equal(true)
    })

    it('says that it is caught up before its events have been taken', async () => {
      await append(make(10), NO_STREAM)
      const source = server.client.subscribeToAll({
        ...server.call,
        filter: streamNameFilter({ prefixes: [stream] }),
      })
      let isCaughtUp = false
      source.on('caughtUp', () => {
        isCaughtUp = true
      })
      let saidAfter = 0
      let taken = 0
      for await (const _ of source) {
        await sleep(30)
        taken++
        if (!isCaughtUp) saidAfter = taken
        if (taken === 10) break
      }
      await source.unsubscribe()
      expect(saidAfter).to.be.below(9)
    })

    it('that is live keeps up with appends of a hundred events', async () => {
      const live = subscribe(END)
      await live.caughtUp
      for (let i = 0; i < 5; i++) {
        await append(make(100), i === 0 ? NO_STREAM : BigInt(i * 100 - 1))
        await until(() => live.seen.length === (i + 1) * 100)
      }
      expect(live.error()).to.equal(undefined)
      await live.stop()
    })

    it('that is live and gets an append of five hundred is dropped by 23.10; newer servers catch up by themselves', async () => {
      const live = subscribe(END)
      await live.caughtUp
      await append(make(500), NO_STREAM)
      if (server.version === '23.10') {
        await until(() => live.error() !== undefined)
        expect(live.error()).to.be.instanceOf(TimeoutError).with.property('code', 10)
        expect((live.error() as Error).message).to.contain('Consumer too slow')
      } else {
        await until(() => live.seen.length === 500 && live.saidCaughtUp() > 1)
        expect(live.error()).to.equal(undefined)
        await live.stop()
      }
    })

    it('fails from a position inside of an event', async () => {
      const { position } = await append(make(1), NO_STREAM)
      const off = (position?.commit ?? 0n) - 1n
      await append(make(1), 0n)
      const failed = subscribe({ commit: off, prepare: off })
      await until(() => failed.error() !== undefined)
      const { code, message } = failed.error() as Error & { code: number }
      if (server.version === '23.10') expect(failed.error()).to.be.instanceOf(UnknownError)
      else expect(message).to.contain('invalid position')
      expect(code).to.equal(server.version === '23.10' ? 2 : 3)
    })

    it('from a position beyond the end says that it is caught up. 23.10 gives what comes; newer servers nothing', async () => {
      const beyond = 10n ** 15n
      const ahead = subscribe({ commit: beyond, prepare: beyond })
      await ahead.caughtUp
      await append(make(1), NO_STREAM)
      if (server.version === '23.10') await until(() => ahead.seen.length === 1)
      else await sleep(1_000)
      expect(ahead.seen).to.have.length(server.version === '23.10' ? 1 : 0)
      expect(ahead.error()).to.equal(undefined)
      await ahead.stop()
    })
  })
}
