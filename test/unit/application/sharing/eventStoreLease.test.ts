import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import {
  LeadershipLostError,
  StoreInUseError,
  StoreUnavailableError,
} from '../../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import {
  type EventStoreLease,
  joinEventStore,
  type LeaseTimes,
} from '../../../../src/application/sharing/eventStoreLease.ts'
import { LEASE_STREAM } from '../../../../src/domain/streams.ts'
import { eventually } from '../../../support/suite/eventually.ts'
import { type MemoryStore, memoryStore } from '../../../support/stores/memoryStore.ts'

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }
/** By clocks that only the tests move. */
const TIMES = { heldMs: 50, goneMs: 100, lookMs: 2, sleptMs: 80, abandonedMs: 1_000, patienceMs: 500 }
const ALONE = false
const SHARED = true

interface Process {
  lease: EventStoreLease
  pass(ms: number): void
  /** Hears and says nothing any more, until it is thawed. */
  freeze(): void
  thaw(): void
  /** Its subscription is lost, and comes back when it is thawed, but not before. */
  cutOff(): void
  /** From now on each of its calls takes less than a sleep, and two of them take longer. It is awake meanwhile. */
  slow(): void
}

interface Control {
  frozen: boolean
  /** How often its subscription was lost. */
  losses: number
  isCutOff: boolean
  onCall(): Promise<void>
}

interface StartOptions {
  /** Moves the clock of the one that starts, so that it does not wait for answers that do not come. */
  hurry?: boolean
  /** What its clocks show then, in milliseconds. */
  at?: number
  times?: Partial<LeaseTimes>
}

describe('the lease of an event store', () => {
  let memory: MemoryStore
  let processes: Process[]
  beforeEach(() => {
    memory = memoryStore()
    processes = []
  })
  afterEach(async () => {
    for (const { thaw } of processes) thaw()
    await Promise.all(processes.map(({ lease }) => lease.stop()))
  })

  const states = (): string[] => memory.log.map(({ data }) => (data as { state: string }).state)

  /** The store as one process sees it, with what comes as it comes. */
  function seen(control: Control): EventStore {
    const awake = async (): Promise<void> => {
      while (control.frozen) await sleep(1)
      await control.onCall()
    }
    return {
      ...memory.store,
      async append(...what) {
        await awake()
        return memory.store.append(...what)
      },
      async readStream(...what) {
        await awake()
        return memory.store.readStream(...what)
      },
      async *subscribe(after, prefixes, signal) {
        let caughtUp = false
        const before = control.losses
        for (let position = after ?? ''; !signal.aborted; await sleep(1)) {
          if (control.losses !== before) yield { events: [], caughtUp: false, interrupted: true }
          if (control.losses !== before) return
          if (control.isCutOff) continue
          await awake()
          const events = memory.log.filter(
            (event) =>
              event.position > position && prefixes.some((prefix) => event.stream.startsWith(prefix)),
          )
          position = events.at(-1)?.position ?? position
          if (events.length > 0 || !caughtUp) yield { events, caughtUp: true }
          caughtUp = true
        }
      },
    }
  }

  async function start(
    shared: boolean,
    { hurry = false, at = 0, times = {} }: StartOptions = {},
  ): Promise<Process> {
    const clock = { monotonic: at, wall: at }
    const control: Control = { frozen: false, losses: 0, isCutOff: false, onCall: async () => {} }
    const pass = (ms: number): void => {
      clock.monotonic += ms
      clock.wall += ms
    }
    const joining = joinEventStore({
      store: seen(control),
      shared,
      name: 'EVENT_STORE_URL esdb://one:2113',
      clock: () => clock.wall,
      ids,
      telemetry: { log: SILENT },
      times: { ...TIMES, ...times },
      now: () => ({ ...clock }),
    })
    const timer = setInterval(() => pass(hurry ? 20 : 0), 5)
    const lease = await joining.finally(() => clearInterval(timer))
    const process: Process = {
      lease,
      pass,
      freeze: () => void (control.frozen = true),
      thaw: () => void Object.assign(control, { frozen: false, isCutOff: false }),
      cutOff() {
        control.losses++
        control.isCutOff = true
      },
      slow() {
        control.onCall = async () => {
          for (let n = 0; n < 5; n++) {
            await sleep(2 * (TIMES.sleptMs / 8))
            pass(TIMES.sleptMs / 8)
          }
        }
      },
    }
    processes.push(process)
    return process
  }

  const failure = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => null,
      (error: unknown) => error,
    )

  it('is taken at once where nobody has it, and is asked for by nobody who shares it already', async () => {
    await start(SHARED)
    await start(SHARED)
    expect(states()).to.deep.equal(['held'])
    expect(memory.log.map(({ stream }) => stream)).to.deep.equal([LEASE_STREAM])
  })

  for (const [second, first, what] of [
    [ALONE, ALONE, 'has it for itself'],
    [SHARED, ALONE, 'has it for itself'],
    [ALONE, SHARED, 'other processes use it'],
  ] as const) {
    it(`refuses who does not go together with its holder: ${second} after ${first}`, async () => {
      const one = await start(first)
      const error = await failure(start(second))
      expect(error).to.be.instanceOf(StoreInUseError)
      expect((error as Error).message)
        .to.contain('EVENT_STORE_URL esdb://one:2113')
        .and.to.contain(what)
      expect([one.lease.flaw(), one.lease.isSound()]).to.deep.equal([null, true])
    })
  }

  it('is answered for by another one of those that share the store, where the holder does not', async () => {
    const [holder, other] = [await start(SHARED), await start(SHARED)]
    holder.freeze()
    expect(await failure(start(ALONE))).to.be.instanceOf(StoreInUseError)
    expect(states()).to.deep.equal(['held', 'asked', 'present'])
    // It may be in the middle of the work of one, and has lost nothing.
    expect([holder.lease.leads(), other.lease.leads()]).to.deep.equal([true, false])
    holder.thaw()
    expect([await holder.lease.acquire(), holder.lease.flaw()]).to.deep.equal([true, null])
  })

  it('is free at once after a stop of who had the store alone, and after a silence in any other case', async () => {
    const one = await start(ALONE)
    await one.lease.stop()
    const two = await start(ALONE)
    two.freeze()
    await start(ALONE, { hurry: true })
    expect(states()).to.deep.equal(['held', 'released', 'held', 'asked', 'held'])
  })

  it('is not free where one of several has released it', async () => {
    const [one] = [await start(SHARED), await start(SHARED)]
    await one.lease.stop()
    expect(await failure(start(ALONE))).to.be.instanceOf(StoreInUseError)
  })

  it('lost while its holder was frozen lets that one write and decide nothing any more', async () => {
    for (const shared of [ALONE, SHARED]) {
      memory = memoryStore()
      const one = await start(shared)
      await one.lease.beforeWrite()
      one.freeze()
      await start(ALONE, { hurry: true })
      // It has slept as long as the other one has waited.
      one.pass(TIMES.goneMs + 20)
      const [written, looked] = [failure(one.lease.beforeWrite()), failure(one.lease.sound())]
      if (!shared) expect(one.lease.isSound(), 'before it has heard of anything').to.equal(false)
      one.thaw()
      expect(await written).to.be.instanceOf(StoreUnavailableError)
      if (!shared) expect(await looked).to.be.instanceOf(StoreUnavailableError)
      expect(one.lease.flaw()).to.contain('was taken over')
      expect(await failure(one.lease.sound())).to.be.instanceOf(StoreUnavailableError)
      expect(await failure(one.lease.beforeWork())).to.be.instanceOf(StoreUnavailableError)
      expect(one.lease.leads()).to.equal(false)
    }
  })

  it('is renewed before a write when the last renewal is old, and costs nothing otherwise', async () => {
    const { lease, pass } = await start(ALONE)
    await lease.beforeWrite()
    pass(TIMES.heldMs)
    await lease.beforeWrite()
    expect(states()).to.deep.equal(['held'])
    pass(1)
    await Promise.all([lease.beforeWrite(), lease.beforeWrite(), lease.sound()])
    expect(states()).to.deep.equal(['held', 'held'])
  })

  it('is renewed by who is awake, however slow the store is', async () => {
    const { lease, pass, slow } = await start(ALONE)
    pass(TIMES.heldMs + 1)
    slow()
    await lease.beforeWrite()
    expect(states().slice(0, 2)).to.deep.equal(['held', 'held'])
  })

  it('lets who has slept for less than it lasts go on after a renewal', async () => {
    const { lease, pass } = await start(ALONE)
    pass(TIMES.sleptMs + 1)
    expect(lease.isSound()).to.equal(false)
    await lease.sound()
    expect(lease.isSound()).to.equal(true)
    expect(states()).to.deep.equal(['held', 'held'])
  })

  it('gives the work of one to one, and to the next when that one stops or is gone for long', async () => {
    const [one, two] = [await start(SHARED), await start(SHARED)]
    expect([await one.lease.acquire(), await two.lease.acquire()]).to.deep.equal([true, false])
    await two.lease
      .beforeWork()
      .catch((error: unknown) => expect(error).to.be.instanceOf(LeadershipLostError))
    await one.lease.stop()
    await eventually(async () => expect(await two.lease.acquire()).to.equal(true))
    const three = await start(SHARED)
    two.freeze()
    expect(await three.lease.acquire()).to.equal(false)
    three.pass(TIMES.abandonedMs + 1)
    const acquiring = three.lease.acquire()
    const timer = setInterval(() => three.pass(20), 5)
    expect(await acquiring.finally(() => clearInterval(timer))).to.equal(true)
    // What it was about to write in its own turn it writes in nobody else's.
    two.pass(TIMES.heldMs + 1)
    const late = failure(two.lease.beforeWork())
    two.thaw()
    expect(await late).to.be.instanceOf(LeadershipLostError)
    expect(await two.lease.acquire()).to.equal(false)
  })

  it('is left to whoever has it by a holder that hears of that only when it renews it', async () => {
    const [one, two] = [await start(SHARED), await start(SHARED)]
    one.freeze()
    const late = one.lease.acquire()
    two.pass(TIMES.abandonedMs + 1)
    const acquiring = two.lease.acquire()
    const timer = setInterval(() => two.pass(20), 5)
    expect(await acquiring.finally(() => clearInterval(timer))).to.equal(true)
    one.thaw()
    expect(await late).to.equal(false)
    expect([one.lease.leads(), two.lease.leads()]).to.deep.equal([false, true])
  })

  it('is taken after a long silence also by who has not heard it all, having just been started', async () => {
    const one = await start(SHARED)
    one.freeze()
    const next = await start(SHARED, { at: TIMES.abandonedMs + 1 })
    const acquiring = next.lease.acquire()
    const timer = setInterval(() => next.pass(20), 5)
    expect(await acquiring.finally(() => clearInterval(timer))).to.equal(true)
  })

  it('is looked at before each write by who was cut off, until it hears of it again', async () => {
    const { lease, cutOff, thaw } = await start(SHARED)
    let reads = 0
    const { readStream } = memory.store
    memory.store.readStream = async (...what) => {
      reads++
      return readStream(...what)
    }
    const looks = async (): Promise<number> => {
      const before = reads
      await lease.beforeWrite()
      return reads - before
    }
    await eventually(async () => expect(await looks()).to.equal(0))
    cutOff()
    await eventually(async () => expect(await looks()).to.equal(1))
    expect([await looks(), await looks()]).to.deep.equal([1, 1])
    thaw()
    await eventually(async () => expect(await looks()).to.equal(0))
  })

  it("is its holder's again when another log was in place and is taken away", async () => {
    const before = await start(ALONE)
    const old = [...memory.log]
    await before.lease.stop()
    const { lease, pass, cutOff, thaw } = await start(ALONE)
    await lease.beforeWrite()
    const own = [...memory.log]
    for (const between of [() => {}, () => void lease.beforeWrite().catch(() => {})]) {
      memory.log.splice(0, memory.log.length, ...old)
      cutOff()
      thaw()
      pass(TIMES.heldMs + 1)
      expect(await failure(lease.beforeWrite())).to.be.instanceOf(StoreUnavailableError)
      between()
      await sleep(20)
      memory.log.splice(0, memory.log.length, ...own)
      cutOff()
      thaw()
      await eventually(() => lease.beforeWrite())
      expect([lease.flaw(), lease.leads()]).to.deep.equal([null, true])
      own.splice(0, own.length, ...memory.log)
    }
  })

  it('is waited for as long as it takes where reads are lost meanwhile', async () => {
    const one = await start(ALONE)
    one.freeze()
    let reads = 0
    const { readStream } = memory.store
    memory.store.readStream = async (...what) => {
      if ([4, 7].includes(++reads)) throw new StoreUnavailableError('lost')
      return readStream(...what)
    }
    await start(ALONE, { hurry: true, times: { patienceMs: TIMES.goneMs / 2 } })
    expect(states()).to.deep.equal(['held', 'asked', 'held'])
  })

  it('is kept by who is asked after a long silence, and answers', async () => {
    const [one, two] = [await start(SHARED), await start(SHARED)]
    two.pass(TIMES.abandonedMs + 1)
    expect(await two.lease.acquire()).to.equal(false)
    expect([one.lease.leads(), two.lease.leads()]).to.deep.equal([true, false])
  })

  it('is not tried for any longer where a store can be read and takes nothing', async () => {
    const error = new StoreUnavailableError('refused')
    memory.store.append = async () => {
      throw error
    }
    expect(await failure(start(ALONE, { hurry: true }))).to.equal(error)
  })

  it('is tried for until the store takes appends', async () => {
    const { append } = memory.store
    let tries = 0
    memory.store.append = async (...what) => {
      if (++tries < 4) throw new StoreUnavailableError('not ready')
      return append(...what)
    }
    await start(ALONE)
    expect(states()).to.deep.equal(['held'])
  })
})
