import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { appendUntilKnown } from '../../../src/application/eventLog/append.ts'
import { patienceOfChange } from '../../../src/application/eventLog/patience.ts'
import {
  ConflictError,
  StoreUnavailableError,
  UnknownOutcomeError,
} from '../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { DamagedError } from '../../../src/domain/errors.ts'
import type { NewEvent } from '../../../src/domain/events.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { countingTelemetry } from '../../support/stores/pieces.ts'
import type { AppendFault } from '../../support/standIn/faults.ts'
import { type StandInProcess, startStandInProcess } from '../../support/standIn/process.ts'
import { type StandIn, startStandIn } from '../../support/standIn/standIn.ts'
import { DEFAULT_VERSION, type VersionName } from '../../support/standIn/version.ts'
import { stopwatch } from '../../support/suite/stopwatch.ts'
import { onStandIns, openForOneTest } from '../../contract/eventstoredb.server.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'

/** In milliseconds. */
const CALL_MS = 1_000
/** In milliseconds: one call, and as much again for a slow machine. */
const BOUND_MS = 2_500
/** A command has four calls. */
const PATIENCE = patienceOfChange(4 * CALL_MS)

// Versions do not differ here.
onStandIns([DEFAULT_VERSION], () => {
  describe('that misbehaves', faults)
})

function faults(): void {
  let standIn: StandIn
  let store: EventStore
  const open = openForOneTest()

  beforeEach(async () => {
    standIn = await startStandIn()
    store = await open(standIn.url, { callMs: CALL_MS })
  })
  afterEach(() => standIn.kill())

  const many = (count: number): NewEvent[] => Array.from({ length: count }, () => makeEvent())
  const append = (stream: string, expected: number | 'no_stream', events: NewEvent[]) =>
    appendUntilKnown({ store, telemetry: countingTelemetry(), patience: PATIENCE }, stream, expected, events)

  async function timed(work: Promise<unknown>): Promise<{ result: unknown; ms: number }> {
    const took = stopwatch()
    const result = await work.catch((error: unknown) => error)
    return { result, ms: took() }
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
      const limits = [{ prefix: 's-', keeps: { maxAge: 60 } }]
      const limited = await open(standIn.url, { callMs: CALL_MS, limits })
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

    it('is given up by a command in the time that it has', async () => {
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
      store = await open(server.url, { callMs: CALL_MS })
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

    it('is like one of the versions that are known', async () => {
      const unknown = rejection(startStandInProcess({ behave: '22.10' as VersionName }))
      expect(String(await unknown)).to.contain('exit code 2')
    })

    it('does what it is told, and says so when it cannot', async () => {
      await server.command('conflict 7')
      const error = await rejection(store.append('s-1', 'no_stream', many(1)))
      expect(error).to.be.instanceOf(ConflictError).with.property('actual', 7)
      expect(String(await rejection(server.command('dance')))).to.match(/none of .*freeze, thaw/)
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
}
