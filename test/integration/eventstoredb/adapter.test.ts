import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { NO_STREAM, jsonEvent } from '@eventstore/db-client'
import { expect } from 'chai'
import { openEventStoreDb } from '../../../src/adapters/eventstoredb/eventStore.ts'
import type { Batch, EventStore } from '../../../src/application/ports/eventStore.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import {
  onServers,
  openForOneTest,
  REAL_URL,
  type TestServer,
  VERSIONS,
} from '../../contract/eventstoredb.server.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'

const many = (count: number, data?: Record<string, unknown>) =>
  Array.from({ length: count }, () => makeEvent(data))

onServers(VERSIONS, (start) => {
  describe('and its adapter', () => adapterOn(start))
})

function adapterOn(start: () => Promise<TestServer>): void {
  let server: TestServer
  let store: EventStore
  let prefix: string
  const open = openForOneTest()

  before(async () => {
    server = await start()
  })
  after(() => server.stop())
  beforeEach(async () => {
    prefix = `adapter${randomUUID().replaceAll('-', '')}`
    store = await open(server.url)
  })

  const stream = (suffix = 'a'): string => `${prefix}-${suffix}`

  describe('appending', () => {
    it('keeps the order of appends to one stream that are under way together', async () => {
      const appends = Array.from({ length: 60 }, (_, i) =>
        store.append(stream(), i === 0 ? 'no_stream' : i - 1, [makeEvent()]),
      )
      const revisions = (await Promise.all(appends)).map(({ revision }) => revision)
      expect(revisions).to.deep.equal(Array.from({ length: 60 }, (_, i) => i))
    })

    it('refuses more than 1 MiB as what it is: no outage, and nothing to try again', async () => {
      for (const [count, size] of [
        [11, 100_000],
        [1, 5_000_000],
      ] as const) {
        const error = await rejection(
          store.append(stream(), 'no_stream', many(count, { text: 'x'.repeat(size) })),
        )
        expect(error).to.be.instanceOf(RangeError)
      }
      expect(await store.readStream(stream())).to.deep.equal([])
    })

    it('is refused where the store is open for reading only', async () => {
      const reader = await open(server.url, { readOnly: true })
      const error = await rejection(reader.append(stream(), 'no_stream', [makeEvent()]))
      expect(error).to.be.instanceOf(StoreUnavailableError)
      expect(await store.readStream(stream())).to.deep.equal([])
    })

    it('limits the age of a stream of the prefix before its first event, and of no other', async () => {
      const limited = await open(server.url, {
        limits: [{ prefix: stream('usage'), keeps: { maxAge: 4711 } }],
      })
      const limitsOf = async (name: string) => (await store.readStream(`$$${name}`)).map(({ data }) => data)
      const events = many(2)
      await limited.append(stream('usage1'), 'no_stream', events)
      await limited.append(stream('usage1'), 'no_stream', events)
      await limited.append(stream('usage1'), 1, [makeEvent()])
      await limited.append(stream('other'), 'no_stream', [makeEvent()])
      expect(await limitsOf(stream('usage1'))).to.deep.equal([{ $maxAge: 4711 }])
      expect(await limitsOf(stream('other'))).to.deep.equal([])
      expect(await store.readStream(stream('usage1'))).to.have.length(3)
    })

    it('by one adapter is not disturbed when another of the same process closes', async () => {
      const other = await openEventStoreDb(server.url)
      const appends = Array.from({ length: 20 }, (_, i) =>
        store.append(stream(`n${i}`), 'no_stream', [makeEvent()]),
      )
      const lost = Array.from({ length: 20 }, (_, i) =>
        other.append(stream(`o${i}`), 'no_stream', [makeEvent()]).catch(() => null),
      )
      await other.close()
      for (const { revision } of await Promise.all(appends)) expect(revision).to.equal(0)
      await Promise.all(lost)
      expect(await store.head()).to.be.a('string')
    })
  })

  describe('reading', () => {
    it('can be left early as often as one likes', async () => {
      for (let i = 0; i < 8; i++) {
        await store.append(stream(), i === 0 ? 'no_stream' : i * 100 - 1, many(100))
      }
      for (let i = 0; i < 150; i++) {
        for await (const events of store.readAll(null)) {
          expect(events).to.not.have.length(0)
          break
        }
      }
      expect(await store.head()).to.be.a('string')
      expect(await store.readStream(stream(), 799)).to.have.length(1)
    })

    it('leaves out the streams of the server', async () => {
      await store.append(stream(), 'no_stream', [makeEvent()])
      for await (const events of store.readAll(null)) {
        expect(events.filter((event) => event.stream.startsWith('$'))).to.deep.equal([])
      }
    })

    it('gives null for what is not JSON', async () => {
      const { credentials } = server.call
      const foreign = jsonEvent({ type: 'Foreign', data: {} })
      await server.client.appendToStream(
        stream(),
        {
          ...foreign,
          contentType: 'application/octet-stream',
          data: Buffer.from('not JSON'),
          metadata: Uint8Array.from([91]),
        },
        { credentials, expectedRevision: NO_STREAM },
      )
      const [event] = await store.readStream(stream())
      expect(event).to.include({ data: null, metadata: null, stream: stream() })
    })

    it('from a position of another kind of store is refused', async () => {
      const reading = (async () => {
        for await (const _ of store.readAll('0000000000000001'));
      })()
      expect(await rejection(reading)).to.be.instanceOf(RangeError)
      const following = store.subscribe('0000000000000001', [prefix], new AbortController().signal)
      expect(await rejection(following[Symbol.asyncIterator]().next())).to.be.instanceOf(RangeError)
    })
  })

  describe('following', () => {
    let stop: AbortController
    beforeEach(() => {
      stop = new AbortController()
    })
    afterEach(() => stop.abort())

    const follow = (after: string | null): AsyncIterator<Batch> =>
      store.subscribe(after, [prefix], stop.signal)[Symbol.asyncIterator]()

    async function takeUntil(
      batches: AsyncIterator<Batch>,
      isEnough: (seen: number, batch: Batch) => boolean,
    ) {
      const revisions: number[] = []
      for (;;) {
        const { value } = await batches.next()
        const batch = value as Batch
        revisions.push(...batch.events.map(({ revision }) => revision))
        if (isEnough(revisions.length, batch)) return revisions
      }
    }

    it('is caught up not before the last of the past, and gives what has come meanwhile at once', async () => {
      for (let i = 0; i < 24; i++) {
        await store.append(stream(), i === 0 ? 'no_stream' : i * 100 - 1, many(100))
      }
      const seen: number[] = []
      let rounds = 0
      for await (const { events, caughtUp } of store.subscribe(null, [prefix], stop.signal)) {
        seen.push(...events.map(({ revision }) => revision))
        rounds++
        if (caughtUp) break
        await sleep(150)
      }
      expect(seen).to.deep.equal(Array.from({ length: 2_400 }, (_, i) => i))
      expect(rounds).to.be.below(20)
    })

    it('stays caught up with what comes', async () => {
      const batches = follow(await store.head())
      await takeUntil(batches, (_, { caughtUp }) => caughtUp)
      for (let i = 0; i < 5; i++) {
        await store.append(stream(), i === 0 ? 'no_stream' : i - 1, [makeEvent()])
        const [revision] = await takeUntil(batches, (_, { caughtUp }) => caughtUp)
        expect(revision).to.equal(i)
      }
    })

    it('loses and repeats nothing when bursts drop it', async () => {
      const batches = follow(await store.head())
      await takeUntil(batches, (_, { caughtUp }) => caughtUp)
      const taking = takeUntil(batches, (seen) => seen >= 3_000)
      for (let i = 0; i < 6; i++) {
        const burst = many(500).map(({ id, type, data }) => jsonEvent({ id, type, data }))
        const expectedRevision = i === 0 ? NO_STREAM : BigInt(i * 500 - 1)
        await server.client.appendToStream(stream(), burst, { ...server.call, expectedRevision })
      }
      expect(await taking).to.deep.equal(Array.from({ length: 3_000 }, (_, i) => i))
    })

    it('ends when the store is closed, and nothing else answers any more', async () => {
      const batches = follow(await store.head())
      await takeUntil(batches, (_, { caughtUp }) => caughtUp)
      const waiting = batches.next()
      await store.close()
      expect((await waiting).done).to.equal(true)
      for (const call of [
        () => store.append(stream(), 'no_stream', [makeEvent()]),
        () => store.readStream(stream()),
        () => store.head(),
      ]) {
        expect(await rejection(call())).to.be.instanceOf(StoreUnavailableError)
      }
    })
  })

  describe('its address', () => {
    it('may use the scheme of KurrentDB', async () => {
      const renamed = await open(server.url.replace('esdb', 'kurrentdb'))
      expect(await renamed.head()).to.be.a('string')
    })

    if (!REAL_URL) {
      it('may be that of any node, which names the leader', async () => {
        for (const scheme of ['esdb+discover', 'kurrentdb+discover']) {
          const discovered = await open(server.url.replace('esdb', scheme))
          expect(await discovered.head()).to.be.a('string')
        }
      })
    }

    for (const [what, url] of [
      ['has an option the client would print', 'esdb://ann:s3cret@localhost:1?tls=false&tlsVerfyCert=s3cret'],
      ['has an option that has no effect', 'esdb://ann:s3cret@localhost:1?tls=true&tlsVerifyCert=false'],
      ['has a password that is not encoded', 'esdb://ann:s3cret@x@localhost:1?tls=false'],
      ['has a password that is encoded badly', 'esdb://ann:s3cret%ZZ@localhost:1?tls=false'],
      ['has no host', 'esdb://ann:s3cret@?tls=false'],
      ['has another scheme', 'https://ann:s3cret@localhost:1'],
      ['asks for TLS as nobody', 'esdb://localhost:1?connectionName=s3cret'],
      ['names a certificate that is not there', 'esdb://ann:s3cret@localhost:1?tlsCAFile=missing.pem'],
    ] as const) {
      it(`is refused, without a secret, when it ${what}`, async () => {
        const { warn } = console
        const printed: unknown[] = []
        console.warn = (...words: unknown[]) => printed.push(words)
        const error = (await rejection(openEventStoreDb(url)).finally(() => {
          console.warn = warn
        })) as Error
        expect(String(error.stack)).to.not.match(/s3cret|ann/)
        expect(printed).to.deep.equal([])
      })
    }

    it('is refused, and how it has to be is said, when it leaves out, or misspells, that there is no TLS', async () => {
      expect(String(await rejection(openEventStoreDb('esdb://localhost:1')))).to.include('tls=false')
      expect(String(await rejection(openEventStoreDb('esdb://a:b@localhost:1?tls=flase')))).to.include(
        'tls must be true or false',
      )
    })

    it('appears in no error with its user and password', async () => {
      const closed = createServer().listen(0, '127.0.0.1')
      await once(closed, 'listening')
      const { port } = closed.address() as { port: number }
      closed.close()
      const unreachable = await open(`esdb://ann:s3cret@127.0.0.1:${port}?tls=false`)
      for (const call of [
        () => unreachable.append(stream(), 'no_stream', [makeEvent()]),
        () => unreachable.readStream(stream()),
        () => unreachable.head(),
      ]) {
        const error = (await rejection(call())) as Error
        expect(error).to.be.instanceOf(StoreUnavailableError)
        expect(JSON.stringify([error.message, error.stack, error])).to.not.match(/s3cret|ann:/)
      }
    })
  })
}
