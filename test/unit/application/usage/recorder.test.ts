import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'chai'
import fc from 'fast-check'
import { genesis, isLinked, storedChain } from '../../../../src/domain/chain.ts'
import {
  type EventData,
  eventSchemas,
  metadataSchema,
  type NewEvent,
  type RecordedEvent,
  type StoredEvent,
} from '../../../../src/domain/events.ts'
import { entriesOf, type UsageEntry, usesIn } from '../../../../src/domain/usageEntries.ts'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import { ConflictError } from '../../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { createRecorder } from '../../../../src/application/usage/recorder.ts'
import type { Room } from '../../../../src/application/usage/window.ts'
import type { TokenRecord } from '../../../../src/application/authentication/records.ts'
import { type AppendFault, faultyStore } from '../../../support/stores/faults.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'

/** Long enough for other work to run in between. */
const anInstant = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The part of an event store that the recorder needs, in memory, as the port describes it. */
function memoryStore(): { store: EventStore; streams: Map<string, StoredEvent[]> } {
  const streams = new Map<string, StoredEvent[]>()
  let position = 0
  const append: EventStore['append'] = async (stream, expected, events) => {
    await anInstant()
    expect(events.length).to.be.within(1, 100)
    expect(Buffer.byteLength(JSON.stringify(events)), 'bytes').to.be.below(1024 * 1024)
    const there = streams.get(stream) ?? []
    const base = expected === 'no_stream' ? -1 : expected
    const placed = there.slice(base + 1, base + 1 + events.length)
    const isRepeat = placed.length === events.length && placed.every(({ id }, i) => id === events[i]?.id)
    if (!isRepeat && there.length - 1 !== base) throw new ConflictError(stream, there.length - 1)
    if (!isRepeat) {
      const next = events.map((event, i) => ({
        ...event,
        stream,
        revision: base + 1 + i,
        position: String(++position),
      }))
      streams.set(stream, there)
      there.push(...next)
    }
    return { revision: base + events.length, position: String(position) }
  }
  return { store: { append } as EventStore, streams }
}

const record = (n: number, revision: number): TokenRecord => ({
  principal: { kind: 'token', accountId: `acct_${n}`, tokenId: tokenId(n), scopes: [] },
  tokenId: tokenId(n),
  createdAt: 0,
  secret: 0,
  retiresAt: Number.POSITIVE_INFINITY,
  isUnused: false,
  allowedIps: null,
  expiresAt: Number.POSITIVE_INFINITY,
  revoked: false,
  stopped: null,
  revision,
  readAt: { monotonic: 0, wall: 0 },
  stale: false,
})

const tokenId = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

function setUp(room?: Room, strict = false) {
  const { store, streams } = memoryStore()
  const faulty = faultyStore(store)
  const telemetry = countingTelemetry()
  const time = { now: Date.parse('2026-03-31T22:30:00.000Z') }
  const recorder = createRecorder({
    store: faulty.store,
    clock: () => time.now,
    ids,
    flushMs: 1000,
    telemetry,
    strict,
    ...(room && { room }),
    patience: { ms: 5_000, outages: false, firstPauseMs: 1 },
    stopTimes: { ms: 300, pauseMs: 10 },
  })
  const use = (token: number, revision = 0, route = '/', outcome = '2xx', caller = 0, secret = 0) =>
    recorder.record({
      record: record(token, revision),
      secret,
      at: time.now,
      outcome,
      method: 'GET',
      route,
      ip: `127.0.0.${caller}`,
      userAgent: caller % 2 === 0 ? null : `agent ${caller}`,
    })
  return { recorder, faulty, streams, telemetry, time, use }
}

const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } })
const validators = {
  TokensUsed: ajv.compile(eventSchemas.TokensUsed),
  UsageLost: ajv.compile(eventSchemas.UsageLost),
}
const validMetadata = ajv.compile(metadataSchema)

const FOREIGN = 'foreign'

/** Checks everything that is true of stored usage at any time. @returns how many uses it counts */
function assertSound(streams: Map<string, StoredEvent[]>): number {
  const seen = new Set<string>()
  let uses = 0
  for (const [stream, events] of streams) {
    let chain = genesis(stream)
    let isForeign = false
    for (const event of events) {
      isForeign ||= event.id === FOREIGN
      expect(isForeign && event.id !== FOREIGN, 'nothing of ours behind a foreign event').to.equal(false)
      if (isForeign) continue
      expect(isLinked(chain, event), 'the chain').to.equal(true)
      chain = storedChain(event)
      expect(seen.has(event.id), 'stored once').to.equal(false)
      seen.add(event.id)
      uses += assertEvent(event)
    }
  }
  return uses
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

const countIn = (streams: Map<string, StoredEvent[]>): number =>
  [...streams.values()].flat().reduce((sum, event) => sum + countOf(event), 0)

const countOf = (event: StoredEvent): number =>
  event.type === 'UsageLost' ? (event.data as EventData<'UsageLost'>).count : usesIn(event)

function assertEvent({ type, data, metadata, stream }: StoredEvent): number {
  expect(validMetadata(metadata), ajv.errorsText(validMetadata.errors)).to.equal(true)
  const day = (metadata as NewEvent['metadata']).at.slice(0, 10).replaceAll('-', '')
  expect(stream.endsWith(`_${day}`), 'in the stream of its day').to.equal(true)
  const { actor } = metadata as { actor: { id: string } }
  expect(stream, 'names the writer of its stream').to.contain(actor.id)
  const validate = validators[type as 'TokensUsed' | 'UsageLost']
  expect(validate(data), ajv.errorsText(validate.errors)).to.equal(true)
  if (type === 'UsageLost') return (data as EventData<'UsageLost'>).count
  const { entries } = data as EventData<'TokensUsed'>
  expect(entries.length, 'entries').to.be.at.most(100)
  return entries.reduce((all, entry) => all + assertEntry(entry), 0)
}

function assertEntry(used: UsageEntry): number {
  const { count, firstAt, lastAt, outcomes, routes } = used
  expect(firstAt.slice(0, 13), 'one hour').to.equal(lastAt.slice(0, 13))
  expect(firstAt <= lastAt).to.equal(true)
  const sum = (counts: number[]): number => counts.reduce((a, b) => a + b, 0)
  expect(sum(Object.values(outcomes)), 'by outcome').to.equal(count)
  expect(sum(routes.map((entry) => entry.count)), 'by route').to.equal(count)
  for (const [callers, others] of [
    [used.addresses, used.otherAddresses],
    [used.userAgents, used.otherUserAgents],
  ] as const) {
    const named = callers?.map((entry) => entry.count) ?? [count]
    expect(sum(named) + (others ?? 0), 'by caller').to.equal(count)
    expect(named.length, 'callers').to.be.within(callers && others === undefined ? 2 : 1, 20)
  }
  const several = Object.keys(outcomes).length > 1
  for (const [outcome, n] of Object.entries(outcomes)) {
    const ofRoutes = routes.map((entry) => entry.outcomes?.[outcome] ?? 0)
    expect(sum(ofRoutes), 'by outcome of routes').to.equal(several ? n : 0)
  }
  return count
}

type Step =
  | {
      kind: 'use'
      token: number
      revision: number
      secret: number
      route: string
      outcome: string
      caller: number
      times: number
    }
  | { kind: 'flush'; faults: AppendFault[] }
  | { kind: 'wait'; minutes: number }
  | { kind: 'foreign' }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('use' as const),
        token: fc.nat(3),
        revision: fc.nat(1),
        secret: fc.constantFrom(0, 3),
        route: fc.constantFrom('/', '/a', '/b?x=tkl_', '__proto__'),
        outcome: fc.constantFrom('2xx', '4xx', 'aborted'),
        caller: fc.oneof(fc.constant(1), fc.nat(60)),
        times: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('flush' as const),
        // After an unknown outcome, the append is repeated after 0.1 s. So there is one at most.
        faults: fc.constantFrom<AppendFault[]>(
          [],
          [],
          ['unavailable'],
          ['ok', 'unavailable'],
          ['landed'],
          ['lost'],
          ['landed', 'unavailable'],
        ),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('wait' as const),
        minutes: fc.constantFrom(1, 31, 60, 1440, -60),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('foreign' as const) }) },
  ),
  { minLength: 3, maxLength: 30 },
)

type Overload =
  | { kind: 'uses'; token: number; times: number }
  | { kind: 'away'; away: boolean }
  | { kind: 'wait'; minutes: number }
  | { kind: 'flush'; faults: AppendFault[]; token: number }

const away = fc.record({ kind: fc.constant('away' as const), away: fc.boolean() })
const wait = fc.record({ kind: fc.constant('wait' as const), minutes: fc.constantFrom(1, 61, 1440) })

const overloads: fc.Arbitrary<Overload[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('uses' as const),
        token: fc.nat(20),
        times: fc.integer({ min: 1, max: 60 }),
      }),
    },
    { weight: 2, arbitrary: away },
    { weight: 1, arbitrary: wait },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('flush' as const),
        token: fc.nat(20),
        faults: fc.constantFrom<AppendFault[]>(
          [],
          [],
          ['unavailable'],
          ['ok', 'unavailable'],
          ['landed', 'unavailable'],
        ),
      }),
    },
  ),
  { minLength: 3, maxLength: 30 },
)

const strictSteps = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('store' as const),
      token: fc.nat(9),
      times: fc.integer({ min: 1, max: 12 }),
      faults: fc.constantFrom<AppendFault[]>(
        [],
        [],
        [],
        [],
        ['unavailable'],
        ['ok', 'unavailable'],
        ['landed'],
      ),
      waits: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: away },
  { weight: 1, arbitrary: wait },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
)

/** There is room for three tokens. */
function setUpStrict() {
  const parts = setUp({ entries: 6, bytes: 1e9 }, true)
  const use = { secret: 0, outcome: 'accepted', method: 'GET', route: '/', ip: null, userAgent: null }
  return {
    ...parts,
    store: (token: number) => parts.recorder.store({ ...use, record: record(token, 0), at: parts.time.now }),
  }
}

/** The own entries of streams. The event of a foreign writer repeats one of ours. */
const entriesIn = (streams: Map<string, StoredEvent[]>): UsageEntry[] =>
  [...streams.values()]
    .flat()
    .filter(({ id }) => id !== FOREIGN)
    .flatMap((event) => entriesOf(event as RecordedEvent))

const usesOf = (streams: Map<string, StoredEvent[]>, which: (entry: UsageEntry) => boolean): number =>
  entriesIn(streams)
    .filter(which)
    .reduce((sum, { count }) => sum + count, 0)

const storedOf = (streams: Map<string, StoredEvent[]>, id: string): number =>
  usesOf(streams, (entry) => entry.tokenId === id)

const declaredIn = (streams: Map<string, StoredEvent[]>): number =>
  [...streams.values()]
    .flat()
    .filter(({ type }) => type === 'UsageLost')
    .reduce((sum, event) => sum + countOf(event), 0)

describe('the recorder', () => {
  it('stores every use once, whatever the store does and however late it gets', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const { recorder, faulty, streams, telemetry, time, use } = setUp()
        let uses = 0
        const bySecret = new Map<string, number>()
        for (const step of sequence) {
          if (step.kind === 'use') {
            const { token, revision, route, outcome, caller, secret } = step
            for (let n = 0; n < step.times; n++) use(token, revision, route, outcome, caller + n * 61, secret)
            uses += step.times
            const key = `${token} ${secret}`
            bySecret.set(key, (bySecret.get(key) ?? 0) + step.times)
          } else if (step.kind === 'flush') {
            faulty.next = [...step.faults]
            await recorder.flush().catch(() => {})
            faulty.next = []
          } else if (step.kind === 'wait') {
            time.now += step.minutes * 60_000
          } else {
            const [stream, events] = [...streams].at(-1) ?? []
            if (stream && events && events.at(-1)?.id !== FOREIGN) {
              const foreign = { ...(events.at(-1) as StoredEvent), id: FOREIGN, revision: events.length }
              streams.set(stream, [...events, foreign])
            }
          }
          expect(assertSound(streams), 'never more than there were').to.be.at.most(uses)
        }
        await recorder.flush()
        expect(assertSound(streams)).to.equal(uses)
        for (const [key, n] of bySecret) {
          const [token, secret] = key.split(' ').map(Number)
          const own = (one: UsageEntry) => one.tokenId === tokenId(token ?? 0) && one.secret === secret
          expect(usesOf(streams, own), `by secret: ${key}`).to.equal(n)
        }
        expect(recorder.pending()).to.equal(0)
        expect(telemetry.lost).to.equal(0)
      }),
      { numRuns: 60, seed: 20_261_123 },
    )
  })

  it('stores every use once when the clock is set back at midnight', async () => {
    const { streams, store } = memoryStore()
    const midnight = Date.parse('2026-04-01T00:00:00.000Z')
    let read = 0
    const clock = () => (read++ % 2 === 0 ? midnight - 1 : midnight)
    const recorder = createRecorder({ store, clock, ids, flushMs: 1000, telemetry: countingTelemetry() })
    const use = {
      secret: 0,
      at: midnight - 1,
      outcome: '2xx',
      method: 'GET',
      route: '/',
      ip: null,
      userAgent: null,
    }
    for (let n = 0; n < 5; n++) recorder.record({ ...use, record: record(n, 0) })
    await recorder.flush()
    expect(assertSound(streams)).to.equal(5)
  })

  it('sends few events at a time when they are large, and the same ones again', async () => {
    const { recorder, faulty, streams, use } = setUp()
    const routes = Array.from({ length: 50 }, (_, n) => `/${String(n).padStart(2, '0')}${'r'.repeat(380)}`)
    for (let n = 0; n < 120; n++) for (const route of routes) use(n, 0, route)
    faulty.next = ['landed', 'unavailable']
    await recorder.flush().catch(() => {})
    const [stored = []] = [...streams.values()]
    expect(stored.length).to.be.within(1, 99)
    await recorder.flush()
    expect(assertSound(streams)).to.equal(120 * 50)
  })

  it('keeps of long texts what it has counted, and not the texts they were cut from', async () => {
    const { recorder, faulty, time } = setUp()
    faulty.down = true
    const gc = garbageCollector()
    // Collects twice, since the first time may only release what other tests of this process have left.
    const collect = () => [gc(), gc()]
    collect()
    const before = process.memoryUsage().heapUsed
    // Texts as they come from a request: slices of a longer text.
    const piece = (n: number): string => Buffer.alloc(15_000, `${n}/`).toString().slice(0, 300)
    const use = { secret: 0, at: time.now, outcome: '2xx', method: 'GET', ip: '192.0.2.1' }
    for (let n = 0; n < 2_000; n++) {
      recorder.record({ ...use, record: record(n, 0), route: piece(n), userAgent: piece(n) })
    }
    collect()
    const grown = process.memoryUsage().heapUsed - before
    expect(grown).to.be.below(2_000 * 3_000)
    expect(recorder.bytes()).to.be.within(grown * 0.9, grown * 2)
  })

  it('counts callers towards its cap, and beyond it counts them as others', async () => {
    const { recorder, streams, telemetry, use } = setUp()
    // Each token has one entry, one route, and 19 addresses and agents besides the first: 40 in all.
    for (let n = 0; n < 5_003; n++) for (let caller = 0; caller < 40; caller++) use(n, 0, '/', '2xx', caller)
    expect(recorder.pending()).to.be.below(200_010)
    await recorder.flush()
    expect(entriesIn(streams)[0]).to.deep.include({ count: 40, otherAddresses: 20, otherUserAgents: 1 })
    expect(telemetry.lost).to.be.above(0)
    expect(assertSound(streams)).to.equal(5_003 * 40)
  })

  it('beyond its cap declares exactly how many uses it lost, and when', async () => {
    const { recorder, faulty, streams, telemetry, time, use } = setUp()
    faulty.down = true
    use(0)
    await recorder.flush().catch(() => {})
    // A token and its route are two entries, so the window is full after 100,000 tokens.
    const CAP = 100_000
    for (let n = 0; n < CAP; n++) use(n)
    const from = time.now
    for (let n = 0; n < 7; n++) {
      use(CAP + n)
      time.now += 1
    }
    use(5)
    expect(recorder.pending()).to.be.below(2 * CAP + 10)
    faulty.down = false
    await recorder.flush()
    const lost = [...streams.values()].flat().filter(({ type }) => type === 'UsageLost')
    expect(lost.map(({ data }) => data)).to.deep.equal([
      {
        count: 7,
        from: new Date(from).toISOString(),
        to: new Date(from + 6).toISOString(),
        cause: 'usage buffer full',
      },
    ])
    expect(countIn(streams)).to.equal(1 + CAP + 7 + 1)
    expect(telemetry.lost).to.equal(7)
    use(CAP + 1)
    await recorder.flush()
    expect(countIn(streams), 'counted again once there is room').to.equal(1 + CAP + 7 + 1 + 1)
  })

  it('stores or declares each use exactly once, through overload, outage, recovery and a stop', async () => {
    const rooms: Room[] = [
      { entries: 12, bytes: Number.POSITIVE_INFINITY },
      { entries: Number.POSITIVE_INFINITY, bytes: 6_000 },
    ]
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...rooms), overloads, async (room, sequence) => {
        const { recorder, faulty, streams, telemetry, time, use } = setUp(room)
        let uses = 0
        for (const step of sequence) {
          if (step.kind === 'uses') {
            for (let n = 0; n < step.times; n++) use(step.token + n, 0, `/${n % 3}`, '2xx', n)
            uses += step.times
            expect(recorder.pending()).to.be.at.most(room.entries + 1 + 100)
            expect(recorder.bytes()).to.be.at.most(room.bytes + 2_000)
          } else if (step.kind === 'away') faulty.down = step.away
          else if (step.kind === 'wait') time.now += step.minutes * 60_000
          else {
            faulty.next = [...step.faults]
            // While a flush is under way, uses still come.
            const flushing = recorder.flush().catch(() => {})
            use(step.token)
            uses++
            await flushing
            faulty.next = []
          }
          expect(assertSound(streams), 'never more than there were').to.be.at.most(uses)
        }
        // If the store does not come back, a stop waits for three seconds.
        faulty.down = false
        await recorder.stop()
        const declared = declaredIn(streams)
        expect(assertSound(streams), 'all are stored or declared').to.equal(uses)
        expect(telemetry.lost, 'what is declared is counted').to.equal(declared)
        expect([recorder.pending(), recorder.bytes()]).to.deep.equal([0, 0])
      }),
      { numRuns: 80, seed: 20_261_127 },
    )
  })

  it('counts as lost what comes after a stop, and what a stop could not store, each once', async () => {
    const { recorder, faulty, telemetry, use } = setUp({ entries: 10, bytes: 1e9 })
    faulty.down = true
    for (let n = 0; n < 8; n++) use(n)
    await recorder.stop()
    expect(telemetry.lost).to.equal(8)
    use(1)
    expect(telemetry.lost).to.equal(9)
    expect(telemetry.errors.join()).to.contain('before the stop').and.to.contain('after the stop')
  })

  it('stores at a stop what an outage held up, when that ends soon', async () => {
    const { recorder, faulty, streams, telemetry, use } = setUp()
    faulty.down = true
    use(1)
    setTimeout(() => {
      faulty.down = false
    }, 50)
    await recorder.stop()
    expect([countIn(streams), telemetry.lost]).to.deep.equal([1, 0])
  })

  it('counts losses of a full buffer once, when the stop cannot store anything either', async () => {
    const { recorder, faulty, telemetry, use } = setUp()
    faulty.down = true
    for (let n = 0; n < 100_003; n++) use(n)
    await recorder.stop()
    expect(telemetry.lost).to.equal(100_003)
  })

  it('never resolves `store` for a use that is not stored: room or none, whatever the store does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(strictSteps, { minLength: 5, maxLength: 25 }), async (sequence) => {
        const { recorder, faulty, streams, telemetry, time, store } = setUpStrict()
        const served = new Map<string, number>()
        const pending: Promise<void>[] = []
        const serve = async (token: number): Promise<void> => {
          try {
            await store(token)
          } catch (error) {
            expect((error as Error).name).to.be.oneOf(['StoreUnavailableError', 'UnknownOutcomeError'])
            return
          }
          const id = tokenId(token)
          served.set(id, (served.get(id) ?? 0) + 1)
          expect(storedOf(streams, id), 'served, so stored').to.be.at.least(served.get(id) ?? 0)
        }
        for (const step of sequence) {
          if (step.kind === 'away') faulty.down = step.away
          else if (step.kind === 'wait') time.now += step.minutes * 60_000
          else if (step.kind === 'flush') await recorder.flush().catch(() => {})
          else {
            faulty.next = [...step.faults]
            for (let n = 0; n < step.times; n++) pending.push(serve(step.token + n))
            if (step.waits) await Promise.all(pending.splice(0))
            else await anInstant()
          }
        }
        await Promise.all(pending)
        faulty.down = false
        await recorder.stop()
        expect(telemetry.lost, 'what was not served is not lost').to.equal(0)
        expect(declaredIn(streams)).to.equal(0)
      }),
      { numRuns: 30, seed: 20_261_127 },
    )
  })

  it('in a full buffer refuses `store` and neither counts nor declares the use', async () => {
    const { recorder, faulty, streams, telemetry, store } = setUpStrict()
    faulty.down = true
    const fates = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => store(n)))
    expect(fates.every(({ status }) => status === 'rejected')).to.equal(true)
    const waiting = recorder.pending()
    expect(waiting).to.be.within(1, 7)
    faulty.down = false
    await recorder.flush()
    // A token and its route are two of the six entries.
    expect(assertSound(streams)).to.equal(3)
    expect([declaredIn(streams), telemetry.lost]).to.deep.equal([0, 0])
    await store(9)
    expect(assertSound(streams)).to.equal(4)
  })

  it('resolves `store` only when the use is stored', async () => {
    const { recorder, faulty, streams, use } = setUp()
    const accepted = {
      secret: 0,
      at: 0,
      outcome: 'accepted',
      method: 'GET',
      route: '/',
      ip: null,
      userAgent: null,
    }
    use(1)
    const flushing = recorder.flush()
    const stored = recorder.store({ ...accepted, record: record(2, 0) })
    await stored
    expect(assertSound(streams)).to.equal(2)
    await flushing
    faulty.down = true
    const failed = recorder.store({ ...accepted, record: record(3, 0) })
    expect(await failed.catch((error: Error) => error.name)).to.equal('StoreUnavailableError')
  })
})
